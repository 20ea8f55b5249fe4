//! `streamgauge tap`: single events of a source as they are written, a line each. It asks any agent of the group by gRPC.

use super::client::{self, AccessArgs};
use super::colours::{ColourArgs, of_value};
use super::pipe;
use crate::api::{json, parse_field_condition};
use clap::ValueEnum;
use ratatui::style::Color;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;
use streamgauge_proto::v1 as pb;
use tonic::{Code, Status};

/// Before asking again, when the agent is gone.
const REST: Duration = Duration::from_secs(2);

#[derive(clap::Args)]
pub struct TapArgs {
    /// The source; may be left out if only one shows its events.
    source: Option<String>,
    /// A condition on what is shown: status>=500, endpoint=/api/users, level!=INFO, path=~/api/.* (also !~, <, <=, >). Can be
    /// repeated: all have to hold.
    #[arg(long = "where", value_name = "FIELD=VALUE", value_parser = parse_field_condition)]
    conditions: Vec<pb::FieldCondition>,
    /// Begin with the newest events that are there, this many.
    #[arg(long, value_name = "N", default_value_t = 10)]
    last: u32,
    /// Print those, and end.
    #[arg(long)]
    once: bool,
    /// This share of the events, such as 0.01.
    #[arg(long, value_name = "SHARE", default_value_t = 1.0, conflicts_with = "once")]
    sample: f64,
    /// At most this many events a second, up to 1000; what is left out is said.
    #[arg(long, value_name = "N", default_value_t = 100, conflicts_with = "once")]
    rate: u32,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// The agent's gRPC address.
    #[arg(long, visible_alias = "grpc", env = "STREAMGAUGE_ADDRESS", default_value = client::GRPC)]
    address: String,
    #[command(flatten)]
    access: AccessArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// How an event is printed.
#[derive(Clone, Copy)]
struct Style {
    output: Output,
    is_coloured: bool,
}

/// Runs the verb.
pub fn run(args: TapArgs, colours: &ColourArgs) -> anyhow::Result<ExitCode> {
    let is_coloured = colours.are_on(std::io::stdout().is_terminal());
    let style = Style { output: args.output, is_coloured };
    client::block_on(async { if args.once { once(&args, style).await } else { follow(&args, style).await } })?;
    Ok(ExitCode::SUCCESS)
}

async fn once(args: &TapArgs, style: Style) -> anyhow::Result<()> {
    let wanted = args.last as usize;
    let (mut newest, mut page_token) = (Vec::new(), String::new());
    let mut client = client::connect(&args.address, &args.access).await?;
    while newest.len() < wanted {
        let request = pb::ListRecentEventsRequest {
            source: args.source.clone().unwrap_or_default(),
            conditions: args.conditions.clone(),
            page_size: i32::try_from(wanted - newest.len()).unwrap_or(i32::MAX).min(1_000),
            page_token,
        };
        let page = client.list_recent_events(request).await.map_err(client::refused)?.into_inner();
        newest.extend(page.events);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    newest.truncate(wanted);
    newest.reverse();
    print(&newest, style)
}

/// Until the process is ended.
async fn follow(args: &TapArgs, style: Style) -> anyhow::Result<()> {
    let mut last = args.last;
    loop {
        let request = pb::TailEventsRequest {
            source: args.source.clone().unwrap_or_default(),
            conditions: args.conditions.clone(),
            sample: args.sample,
            events_per_second: args.rate,
            last,
        };
        match listen(args, request, style).await? {
            Some(why) => eprintln!("streamgauge: {}; asking again", why.message()),
            None => eprintln!("streamgauge: the agent has ended the feed; asking again"),
        }
        // What came meanwhile was missed.
        last = 0;
        tokio::time::sleep(REST).await;
    }
}

fn is_for_good(why: &Status) -> bool {
    why.code() != Code::Unavailable
}

/// Why the feed ended, if the agent says. What was refused before there was one is an error.
async fn listen(args: &TapArgs, request: pb::TailEventsRequest, style: Style) -> anyhow::Result<Option<Status>> {
    let is_first = request.last == args.last;
    // A feed takes as long as it takes.
    let channel = match client::channel(&args.address, &args.access).await {
        Ok(channel) => channel,
        Err(error) if is_first => return Err(error),
        Err(error) => return Ok(Some(Status::unavailable(error.to_string()))),
    };
    let mut client = client::Client::new(channel).max_decoding_message_size(usize::MAX);
    let mut feed = match client.tail_events(request).await {
        Ok(feed) => feed.into_inner(),
        Err(status) if is_first || is_for_good(&status) => return Err(client::refused(status)),
        Err(status) => return Ok(Some(status)),
    };
    loop {
        match feed.message().await {
            Ok(Some(heard)) => {
                print(&heard.events, style)?;
                if heard.skipped > 0 {
                    eprintln!("streamgauge: {} more came: --where, --sample and --rate choose", heard.skipped);
                }
            }
            Ok(None) => return Ok(None),
            Err(status) => return Ok(Some(status)),
        }
    }
}

fn print(events: &[pb::RecentEvent], style: Style) -> anyhow::Result<()> {
    let mut text = String::new();
    for event in events {
        text += &match style.output {
            Output::Json => json("RecentEvent", event).map_err(anyhow::Error::msg)?,
            Output::Text => line(event, style.is_coloured),
        };
        text.push('\n');
    }
    pipe::print(text.as_bytes())
}

/// Its time, its fields by name, and for which measures it was unusual.
fn line(event: &pb::RecentEvent, is_coloured: bool) -> String {
    let at = event.event_time.as_ref().and_then(|at| jiff::Timestamp::new(at.seconds, at.nanos).ok());
    let at = at.map_or_else(|| "?".to_owned(), |at| at.strftime("%H:%M:%S%.3fZ").to_string());
    let fields: BTreeMap<_, _> = event.fields.iter().collect();
    let field = |(name, value): (&String, &String)| {
        // A line is a line, whatever a log has in it.
        let value: String = value.chars().map(|c| if c.is_control() { '·' } else { c }).collect();
        match of_value(name, &value).filter(|_| is_coloured).and_then(ansi) {
            Some(code) => format!("{name}=\x1b[{code}m{value}\x1b[0m"),
            None => format!("{name}={value}"),
        }
    };
    let unusual = event.unusual.iter().map(|of| {
        let text = format!("unusual={}.{}:{}", of.aggregate, of.measure, if of.above { "above" } else { "below" });
        if is_coloured { format!("\x1b[1;{UNUSUAL}m{text}\x1b[0m") } else { text }
    });
    format!("{at}  {}", fields.into_iter().map(field).chain(unusual).collect::<Vec<_>>().join("  "))
}

/// The colour of what says that an event is unusual: yellow.
const UNUSUAL: u8 = 33;

/// As ECMA-48 has it.
fn ansi(colour: Color) -> Option<u8> {
    Some(match colour {
        Color::Red => 31,
        Color::Green => 32,
        Color::Yellow => 33,
        Color::Blue => 34,
        Color::Magenta => 35,
        Color::Cyan => 36,
        Color::DarkGray => 90,
        Color::LightRed => 91,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use streamgauge_proto::types::Timestamp;

    #[test]
    fn an_event_is_one_line_whatever_is_in_it() {
        let fields = [("status", "500"), ("message", "a\nb\x1b[31m"), ("event_type", "click")];
        let event = pb::RecentEvent {
            event_time: Some(Timestamp { seconds: 1_763_657_460, nanos: 123_000_000 }),
            fields: fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            ..Default::default()
        };
        assert_eq!(line(&event, false), "16:51:00.123Z  event_type=click  message=a·b·[31m  status=500");
        let of = pb::UnusualFor { aggregate: "http".into(), measure: "slow".into(), above: true };
        let unusual = pb::RecentEvent { unusual: vec![of], ..event.clone() };
        assert!(line(&unusual, false).ends_with("  status=500  unusual=http.slow:above"), "{}", line(&unusual, false));
        assert!(line(&event, true).ends_with("status=\x1b[31m500\x1b[0m"), "{}", line(&event, true));
    }
}
