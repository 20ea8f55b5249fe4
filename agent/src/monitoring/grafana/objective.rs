//! The dashboard of a source's objective: how much may fail, how much did, and how fast the budget burns.

use super::board::Board;
use super::panel::{Look, Panel};
use crate::monitoring::slo::{BURNS, Burn, Sli};
use crate::monitoring::uid::SLO_UID;

pub fn board(sli: &Sli, objective: f64) -> Board {
    let budget = ((100.0 - objective) * 1e6).round() / 1e8;
    let mut board = Board::new(
        SLO_UID,
        "Service level objective",
        &format!("Requests {}, against an objective of {objective} % without.", sli.in_words),
    );
    board = board.variable("job", "streamgauge_build_info");
    let five = sli.ratio("5m");
    board = sli.labels.iter().fold(board, |board, label| board.variable(label, &five));
    board
        .row("Is it fine?", now(sli, budget))
        .row("Where", by_key(sli, budget))
        .row("How fast the budget burns", burning(sli, budget))
}

fn of(sli: &Sli, range: &str) -> String {
    let labels: String = sli.labels.iter().map(|label| format!(", {label}=~\"${label}\"")).collect();
    format!("{}{{job=~\"$job\"{labels}}}", sli.ratio(range))
}

fn legend(sli: &Sli) -> String {
    let labels: Vec<String> = sli.labels.iter().map(|label| format!("{{{{{label}}}}}")).collect();
    if labels.is_empty() { "all".into() } else { labels.join(" ") }
}

fn now(sli: &Sli, budget: f64) -> Vec<Panel> {
    let worst = Panel::new(
        Look::Stat,
        "Worst error ratio, 5 min",
        "percentunit",
        "The highest share of failed requests of any key.",
    )
    .red_from(budget)
    .query(format!("max({})", of(sli, "5m")), "");
    let left = "What the worst key has left of its budget, if the last 3 days are the measure: 100 % is untouched, below 0 is \
                overdrawn.";
    let left = Panel::new(Look::Stat, "Budget left, 3 days", "percentunit", left)
        .query(format!("1 - max({}) / {budget}", of(sli, "3d")), "");
    let rate = "1: the budget is used up exactly at the end of its period. 14.4: a month's budget in two days.";
    let rate = Panel::new(Look::Stat, "Worst burn rate, 1 h", "none", rate)
        .red_from(14.4)
        .query(format!("max({}) / {budget}", of(sli, "1h")), "");
    let keys = Panel::new(
        Look::Stat,
        "Keys over budget, 1 h",
        "short",
        "How many keys fail more often than the objective allows.",
    )
    .red_from(1.0)
    .query(format!("sum({} > bool {budget})", of(sli, "1h")), "");
    vec![worst, left, rate, keys]
}

fn by_key(sli: &Sli, budget: f64) -> Vec<Panel> {
    if sli.labels.is_empty() {
        return Vec::new();
    }
    let keys = sli.labels.join(", ");
    let line = |title: String, unit: &str, text: &str, red: f64, query: String| {
        Panel::new(Look::Lines, title, unit, text).red_from(red).query(query, legend(sli))
    };
    vec![
        line(
            format!("Error ratio by {keys}, 5m"),
            "percentunit",
            "Share of failed requests of each key. The line is what the objective allows.",
            budget,
            of(sli, "5m"),
        ),
        line(
            format!("Burn rate by {keys}, 1h"),
            "none",
            "Error ratio over an hour, in budgets. 1 uses the budget up exactly at the end of its period.",
            1.0,
            format!("{} / {budget}", of(sli, "1h")),
        ),
    ]
}

fn burning(sli: &Sli, budget: f64) -> Vec<Panel> {
    let panel = |Burn { short, long, factor, .. }: &Burn| {
        let text = format!(
            "Error ratio of the worst key over {short} and {long}, in budgets. The alert fires while both of a key are above \
             {factor}."
        );
        let worst = |range: &str| (format!("max({}) / {budget}", of(sli, range)), format!("worst, {range}"));
        let panel = Panel::new(Look::Lines, format!("Burn rate, {short} and {long}"), "none", text).red_from(*factor);
        [worst(short), worst(long)].into_iter().fold(panel, |panel, (expr, legend)| panel.query(expr, legend))
    };
    BURNS.iter().map(panel).collect()
}
