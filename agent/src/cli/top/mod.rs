//! `streamgauge top`: what happens now, as a table that lives in a terminal. It asks any agent of the group by gRPC.

mod app;
mod ask;
mod draw;
mod keys;

#[cfg(test)]
mod tests;

use super::client;
use super::colours::ColourArgs;
use super::values::parse_duration;
use anyhow::Context;
use app::App;
use ask::{Asking, Heard};
use draw::Colours;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use ratatui::{DefaultTerminal, Terminal};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long to wait for a key before looking whether it is over.
const KEY_WAIT: Duration = Duration::from_millis(200);
/// Keys that are typed ahead, and looks that wait to be drawn.
const WAITING: usize = 16;
/// A screen of `--once`, if the terminal does not say.
const COLUMNS: u16 = 80;
const LINES: u16 = 24;

#[derive(clap::Args)]
pub struct TopArgs {
    /// The aggregate to begin with [default: the first].
    aggregate: Option<String>,
    /// Between two looks.
    #[arg(long, default_value = "2s", value_parser = parse_duration)]
    interval: Duration,
    /// Print one screen, and end.
    #[arg(long)]
    once: bool,
    /// The agent's gRPC address.
    #[arg(long, visible_alias = "grpc", env = "STREAMGAUGE_ADDRESS", default_value = client::GRPC)]
    address: String,
    #[command(flatten)]
    access: client::AccessArgs,
}

/// Runs the verb.
pub fn run(args: TopArgs, colours: &ColourArgs) -> anyhow::Result<ExitCode> {
    let app = App::new(&args.address, args.aggregate.clone());
    if args.once {
        let text = client::block_on(once(args, app))?;
        // Nobody to read it is no failure.
        let _ = std::io::stdout().write_all(text.as_bytes());
        return Ok(ExitCode::SUCCESS);
    }
    anyhow::ensure!(
        std::io::stdout().is_terminal() && std::io::stdin().is_terminal(),
        "top draws on a terminal: use --once, or `streamgauge query`, where there is none"
    );
    let colours = if colours.are_on(true) { Colours::All } else { Colours::None };
    let mut terminal = ratatui::try_init().context("the terminal cannot be drawn on")?;
    let ended = client::block_on(live(args, app, &mut terminal, colours));
    ratatui::restore();
    ended.map(|()| ExitCode::SUCCESS)
}

async fn once(args: TopArgs, mut app: App) -> anyhow::Result<String> {
    let mut asking = Asking::new(args.address, args.access, args.interval);
    // Two looks make a rate.
    for look in 0..2 {
        match asking.look(&app.wish()).await {
            Heard::Look(look) => app.hear(Heard::Look(look)),
            Heard::Lost(why) => anyhow::bail!(why),
        }
        if look == 0 {
            tokio::time::sleep(args.interval).await;
        }
    }
    let mut terminal = Terminal::new(TestBackend::new(COLUMNS, LINES))?;
    terminal.draw(|frame| draw::draw(frame, &mut app, Colours::None))?;
    let buffer = terminal.backend().buffer();
    let lines = buffer.content().chunks(usize::from(COLUMNS)).map(|line| {
        let text: String = line.iter().map(|cell| cell.symbol()).collect();
        format!("{}\n", text.trim_end())
    });
    Ok(lines.collect())
}

async fn live(args: TopArgs, mut app: App, terminal: &mut DefaultTerminal, colours: Colours) -> anyhow::Result<()> {
    let (sender, mut pressed) = mpsc::channel(WAITING);
    // It ends with the process, or when nobody listens any more.
    std::thread::spawn(move || read_keys(&sender));
    let (wish, wishes) = tokio::sync::watch::channel(app.wish());
    let (heard, mut looks) = mpsc::channel(1);
    let mut asking = Asking::new(args.address, args.access, args.interval);
    tokio::spawn(async move { asking.run(wishes, heard).await });
    loop {
        terminal.draw(|frame| draw::draw(frame, &mut app, colours))?;
        tokio::select! {
            Some(heard) = looks.recv() => app.hear(heard),
            Some(event) = pressed.recv() => match event {
                Event::Key(key) if key.kind == KeyEventKind::Press && keys::press(&mut app, key) => return Ok(()),
                // Anything else, such as another size, has it drawn again.
                _ => {}
            },
            else => return Ok(()),
        }
        let now = app.wish();
        wish.send_if_modified(|before| {
            let differs = *before != now;
            *before = now;
            differs
        });
    }
}

fn read_keys(sender: &mpsc::Sender<Event>) {
    while !sender.is_closed() {
        match event::poll(KEY_WAIT) {
            Ok(true) => {
                let Ok(event) = event::read() else { return };
                if sender.blocking_send(event).is_err() {
                    return;
                }
            }
            Ok(false) => {}
            Err(_) => return,
        }
    }
}
