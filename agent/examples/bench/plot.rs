//! Curves of the growth measurements as SVG: one picture per curve, CPU time and memory side by side.

use std::fmt::Write;
use std::path::Path;

use serde_json::Value;

const WIDTH: f64 = 380.0;
const HEIGHT: f64 = 260.0;
/// Room for the axes' texts: left, top, right, bottom.
const MARGIN: [f64; 4] = [58.0, 34.0, 16.0, 44.0];

/// Reads the lines that `bench growth` printed and writes `growth-CURVE.svg` into `out`.
pub fn plot(results: &Path, out: &Path) {
    let text = std::fs::read_to_string(results).unwrap();
    let points: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    for curve in ["keys", "partitions", "aggregates"] {
        let of_curve = |measure: &str| -> Vec<(f64, f64)> {
            let points = points.iter().filter(|point| point["curve"] == curve);
            points.map(|point| (point[curve].as_f64().unwrap(), point[measure].as_f64().unwrap())).collect()
        };
        let (cpu, memory) = (of_curve("cpu_us_per_event"), of_curve("resident_mb"));
        assert!(!cpu.is_empty(), "no points of {curve} in {}", results.display());
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"11\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
            2.0 * WIDTH
        );
        chart(&mut svg, 0.0, &format!("CPU per event, µs, by {curve}"), curve, &cpu);
        chart(&mut svg, WIDTH, &format!("Memory, MB, by {curve}"), curve, &memory);
        svg.push_str("</svg>\n");
        std::fs::write(out.join(format!("growth-{curve}.svg")), svg).unwrap();
    }
}

/// A line through `points`: x logarithmic, y from zero.
fn chart(svg: &mut String, left: f64, title: &str, x_name: &str, points: &[(f64, f64)]) {
    let top = ceiling(points.iter().map(|point| point.1).fold(0.0, f64::max));
    let (first, last) = (points[0].0.ln(), points[points.len() - 1].0.ln());
    let x = |value: f64| left + MARGIN[0] + (value.ln() - first) / (last - first) * (WIDTH - MARGIN[0] - MARGIN[2]);
    let y = |value: f64| HEIGHT - MARGIN[3] - value / top * (HEIGHT - MARGIN[1] - MARGIN[3]);
    let (from, to) = (x(points[0].0), x(points[points.len() - 1].0));
    writeln!(svg, "<text x=\"{from}\" y=\"20\" font-size=\"13\" font-weight=\"bold\">{title}</text>").unwrap();
    for step in 0..=4 {
        let value = top * f64::from(step) / 4.0;
        let line = y(value);
        writeln!(svg, "<line x1=\"{from:.1}\" x2=\"{to:.1}\" y1=\"{line:.1}\" y2=\"{line:.1}\" stroke=\"#ddd\"/>")
            .unwrap();
        writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            from - 6.0,
            line + 4.0,
            short(value)
        )
        .unwrap();
    }
    for &(at, value) in points {
        let (cx, cy) = (x(at), y(value));
        writeln!(svg, "<circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"3.5\" fill=\"#1f6feb\"/>").unwrap();
        writeln!(svg, "<text x=\"{cx:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>", HEIGHT - 26.0, short(at))
            .unwrap();
    }
    let line: Vec<String> = points.iter().map(|&(at, value)| format!("{:.1},{:.1}", x(at), y(value))).collect();
    writeln!(svg, "<polyline points=\"{}\" fill=\"none\" stroke=\"#1f6feb\" stroke-width=\"2\"/>", line.join(" "))
        .unwrap();
    let middle = (from + to) / 2.0;
    writeln!(svg, "<text x=\"{middle:.1}\" y=\"{}\" text-anchor=\"middle\">{x_name}</text>", HEIGHT - 8.0).unwrap();
}

/// The next of 1, 2, 4, 8 times a power of ten: four steps of it are round numbers.
fn ceiling(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 4.0, 8.0, 10.0].map(|step| step * power).into_iter().find(|&top| top >= value).unwrap_or(value)
}

fn short(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{}M", v / 1e6),
        v if v >= 1e3 => format!("{}k", v / 1e3),
        v => format!("{v}"),
    }
}
