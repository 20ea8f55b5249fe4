//! Lines of a few dozen points, in SVG.

use maud::{Markup, html};

const WIDTH: f64 = 240.0;
const HEIGHT: f64 = 48.0;
/// Room above and below, so that a line is whole.
const ROOM: f64 = 3.0;

/// The points as a line from the left to the right, between nothing and the largest of `all`. A gap is a gap.
fn path(points: &[Option<f64>], top: f64) -> String {
    let apart = WIDTH / (points.len().max(2) - 1) as f64;
    let mut path = String::new();
    let mut pen_is_up = true;
    let number = |at: usize| points.get(at).copied().flatten().filter(|value| value.is_finite());
    for at in 0..points.len() {
        let Some(value) = number(at) else {
            pen_is_up = true;
            continue;
        };
        let y = HEIGHT - ROOM - (value / top).clamp(0.0, 1.0) * (HEIGHT - 2.0 * ROOM);
        let command = if pen_is_up { 'M' } else { 'L' };
        path.push_str(&format!("{command}{:.1} {y:.1}", at as f64 * apart));
        if pen_is_up && number(at + 1).is_none() {
            // A point of its own would not be seen.
            path.push_str("h.1");
        }
        pen_is_up = false;
    }
    path
}

/// One or two lines over the same scale.
pub fn spark(points: &[Option<f64>], below: Option<&[Option<f64>]>, says: &str) -> Markup {
    let all = points.iter().chain(below.unwrap_or_default()).flatten();
    let top = all.copied().filter(|value| value.is_finite()).fold(f64::MIN_POSITIVE, f64::max);
    let viewport = format!("0 0 {WIDTH} {HEIGHT}");
    html! {
        // Each closed: one within another is not drawn.
        svg viewBox=(viewport) preserveAspectRatio="none" role="img" aria-label=(says) {
            @if let Some(below) = below { path class="below" d=(path(below, top)) {} }
            path d=(path(points, top)) {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::path;

    #[test]
    fn a_line_goes_from_left_to_right_and_leaves_gaps() {
        let points = [Some(0.0), Some(2.0), None, Some(1.0), Some(f64::NAN)];
        assert_eq!(path(&points, 2.0), "M0.0 45.0L60.0 3.0M180.0 24.0h.1");
        assert_eq!(path(&[], 1.0), "");
        assert_eq!(path(&[Some(1.0)], 1.0), "M0.0 3.0h.1");
    }
}
