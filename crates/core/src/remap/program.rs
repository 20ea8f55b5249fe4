//! Compiling a program, and running it.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use vrl::compiler::runtime::{Runtime, Terminate};
use vrl::compiler::state::ExternalEnv;
use vrl::compiler::{self, CompileConfig, Function, TargetValueRef, TimeZone};
use vrl::diagnostic::Diagnostic;
use vrl::path::{OwnedTargetPath, PathPrefix};
use vrl::value::{Secrets, Value};

use super::{Trouble, refused};

/// Expressions that one event may take; more is a loop that somebody did not mean.
const MOST_STEPS: usize = 100_000;

/// A program that has been compiled, and what it needs to run.
#[derive(Debug)]
pub struct Program {
    program: compiler::Program,
    runtime: Runtime,
    zone: TimeZone,
    record_paths: Vec<String>,
}

/// Why a program left no event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It said `abort`.
    Aborted,
    /// For people.
    Error(String),
}

impl Program {
    /// # Errors
    /// All that is wrong with the program.
    pub fn compile(text: &str) -> Result<Program, Vec<Trouble>> {
        let mut config = CompileConfig::default();
        config.set_read_only_path(OwnedTargetPath::metadata_root(), true);
        let compiled = compiler::compile_with_external(text, &functions(), &ExternalEnv::default(), config);
        let compiled = compiled.map_err(|diagnostics| {
            diagnostics.iter().filter(|one| one.is_problem()).map(|one| trouble(text, one)).collect::<Vec<_>>()
        })?;
        if let Some(at) = machines_zone(text) {
            let help = "name the zone: `timezone: \"Europe/Berlin\"`; without any it is UTC";
            return Err(vec![at_place(text, at, "the machine's own time zone differs from machine to machine", help)]);
        }
        let queries = &compiled.program.info().target_queries;
        let of_record = queries.iter().filter(|path| path.prefix == PathPrefix::Metadata);
        let record_paths: BTreeSet<String> = of_record.map(ToString::to_string).collect();
        Ok(Program {
            program: compiled.program,
            runtime: Runtime::default(),
            // UTC is known to every build.
            zone: TimeZone::parse("UTC").unwrap_or_default(),
            record_paths: record_paths.into_iter().collect(),
        })
    }

    /// What of the record beside its payload the program asks for: `%key`, `%headers."x-tenant"`.
    pub fn record_paths(&self) -> &[String] {
        &self.record_paths
    }

    /// Runs the program on one event and gives what it leaves in `.`. `record` is what `%` is to it.
    ///
    /// # Errors
    /// If it aborts, fails or does not come to an end.
    pub fn run(&mut self, mut event: Value, mut record: Value) -> Result<Value, Failure> {
        let mut secrets = Secrets::new();
        let mut target = TargetValueRef { value: &mut event, metadata: &mut record, secrets: &mut secrets };
        let mut steps = 0;
        let mut control = || {
            steps += 1;
            if steps > MOST_STEPS { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        self.runtime.clear();
        let ran = self.runtime.resolve_with_control(&mut target, &self.program, &self.zone, &mut control);
        match ran {
            Ok(_) => Ok(event),
            Err(Terminate::Abort(_)) => Err(Failure::Aborted),
            Err(Terminate::Interrupted) => {
                Err(Failure::Error(format!("it took more than {MOST_STEPS} steps, which is a loop without an end")))
            }
            Err(Terminate::Error(error)) => Err(Failure::Error(error.to_string())),
        }
    }
}

fn functions() -> Vec<Box<dyn Function>> {
    vrl::stdlib::all().into_iter().filter(|function| refused(function.identifier()).is_none()).collect()
}

/// Where the program asks for the zone of the machine that it runs on.
fn machines_zone(text: &str) -> Option<usize> {
    let own = ["\"local\"", "\"\"", "s'local'", "s''"];
    let mut named = text.match_indices("timezone").filter(|(at, name)| {
        let value = text.get(at + name.len()..).and_then(|rest| rest.trim_start().strip_prefix(':'));
        value.is_some_and(|value| own.iter().any(|own| value.trim_start().starts_with(own)))
    });
    named.next().map(|(at, _)| at)
}

/// One diagnostic as one sentence, at its place.
fn trouble(text: &str, diagnostic: &Diagnostic) -> Trouble {
    let label = diagnostic.labels().iter().find(|label| label.primary).or(diagnostic.labels().first());
    let span = label.map_or(0..0, |label| label.span.range());
    let said = text.get(span.clone()).unwrap_or_default();
    let function = said.split(['(', '!', ' ']).next().unwrap_or_default();
    if let Some(why) = refused(function) {
        let help = "an event that is read again after a crash has to come out the same";
        return Trouble {
            width: function.chars().count().max(1),
            ..at_place(text, span.start, &format!("`{function}` {why}"), help)
        };
    }
    let hint = label.map(|label| label.message.trim());
    let hint = hint.filter(|hint| !hint.is_empty() && !diagnostic.message().ends_with(hint));
    let message = match hint {
        Some(hint) => format!("{} ({hint})", diagnostic.message()),
        None => diagnostic.message().to_owned(),
    };
    let help: Vec<String> = diagnostic
        .labels()
        .iter()
        .filter(|label| !label.primary)
        .map(|label| label.message.trim().to_owned())
        // A list of all that the grammar knows helps nobody.
        .filter(|help| !help.starts_with("expected one of"))
        .collect();
    let width = said.lines().next().unwrap_or_default().chars().count().max(1);
    Trouble { width, ..at_place(text, span.start, &message, help.join(" ").trim_start_matches("or ").trim()) }
}

fn at_place(text: &str, at: usize, message: &str, help: &str) -> Trouble {
    let before = text.get(..at).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    Trouble {
        line: before.matches('\n').count() + 1,
        column: line.chars().count() + 1,
        width: 1,
        message: message.to_owned(),
        help: help.to_owned(),
    }
}
