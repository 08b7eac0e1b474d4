//! Parts of SVG plots. Widths are percentages where a plot fills its column, so that its text keeps
//! its size on a narrow screen.

/// Colours that are visible on white and on black.
const COLOURS: [&str; 6] = ["#3b82f6", "#f97316", "#10b981", "#a855f7", "#ef4444", "#ca8a04"];

/// The mark of a series: a colour, and a form where colours repeat.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    index: usize,
    /// Whether the mark is an outline: another system's.
    hollow: bool,
}

impl Mark {
    pub fn new(index: usize, hollow: bool) -> Self {
        Self { index, hollow }
    }

    pub fn colour(self) -> &'static str {
        COLOURS[self.index % COLOURS.len()]
    }

    /// Draws the mark at a place such as `12.5%`, with a text that appears under the pointer.
    pub fn draw(self, (x, y): (&str, f64), title: &str) -> String {
        let (colour, title) = (self.colour(), escape(title));
        let paint = if self.hollow {
            format!("fill=\"var(--paper)\" stroke=\"{colour}\" stroke-width=\"2\"")
        } else {
            format!("fill=\"{colour}\"")
        };
        if (self.index / COLOURS.len()).is_multiple_of(2) {
            return format!(
                "<circle cx=\"{x}\" cy=\"{y:.1}\" r=\"5\" {paint}><title>{title}</title></circle>"
            );
        }
        format!(
            "<rect x=\"{x}\" y=\"{y:.1}\" width=\"9\" height=\"9\" \
             transform=\"translate(-4.5 -4.5)\" {paint}><title>{title}</title></rect>"
        )
    }
}

/// A logarithmic axis of times or sizes. A place on it is a share of its length, 0 to 1.
#[derive(Debug, Clone, Copy)]
pub struct LogAxis {
    low: f64,
    high: f64,
}

impl LogAxis {
    /// An axis with room around all positive `values`, and at least one tick.
    pub fn new(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = values
            .filter(|value| value.is_finite() && *value > 0.0)
            .fold((f64::MAX, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) = if low > high { (1.0, 10.0) } else { (low / 1.6, high * 1.6) };
        Self { low, high }
    }

    /// The place of a value; values beyond the axis are at its ends.
    pub fn at(&self, value: f64) -> f64 {
        let share = (value.clamp(self.low, self.high) / self.low).ln();
        share / (self.high / self.low).ln()
    }

    /// At most `most` ticks: powers of ten, with their doubles and quintuples if these have room,
    /// or each second or third power if not.
    pub fn ticks(&self, most: usize) -> Vec<f64> {
        let ticks = |factors: &[u32], stride: i32| -> Vec<f64> {
            let exponents = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
            exponents
                .filter(|exponent| exponent.rem_euclid(stride) == 0)
                .flat_map(|exponent| factors.iter().map(move |f| format!("{f}e{exponent}")))
                .filter_map(|tick| tick.parse().ok())
                .filter(|tick| (self.low..=self.high).contains(tick))
                .collect()
        };
        let fine = ticks(&[1, 2, 5], 1);
        if fine.len() <= most {
            return fine;
        }
        let coarse = (1..).map(|stride| ticks(&[1], stride));
        coarse.into_iter().find(|ticks| ticks.len() <= most).unwrap_or_default()
    }
}

/// Returns a place along the width of a plot, with room for half a label at both ends.
pub fn percent(share: f64) -> String {
    format!("{:.2}%", 5.0 + 90.0 * share)
}

/// Formats a time in microseconds with three digits.
pub fn time(us: f64) -> String {
    let (value, unit) = unit(us);
    let digits = if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.digits$} {unit}")
}

/// Formats the time of a tick, a whole number of its unit.
pub fn tick_time(us: f64) -> String {
    let (value, unit) = unit(us);
    format!("{value:.0} {unit}")
}

fn unit(us: f64) -> (f64, &'static str) {
    match us {
        us if us < 0.9995 => (us * 1e3, "ns"),
        us if us < 999.5 => (us, "µs"),
        us if us < 999.5e3 => (us / 1e3, "ms"),
        us => (us / 1e6, "s"),
    }
}

/// A picture that fills the width of its column.
pub fn wide(height: f64, title: &str, content: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" aria-label=\"{}\" width=\"100%\" \
         height=\"{height}\">{content}</svg>",
        escape(title)
    )
}

pub fn line(class: &str, (x1, y1): (&str, f64), (x2, y2): (&str, f64)) -> String {
    format!("<line class=\"{class}\" x1=\"{x1}\" y1=\"{y1:.1}\" x2=\"{x2}\" y2=\"{y2:.1}\"/>")
}

pub fn text(class: &str, (x, y): (&str, f64), text: &str) -> String {
    format!("<text class=\"{class}\" x=\"{x}\" y=\"{y:.1}\">{}</text>", escape(text))
}

/// Escapes text for XML and replaces characters that XML excludes.
pub fn escape(plain: &str) -> String {
    let mut escaped = String::with_capacity(plain.len());
    for c in plain.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c if c.is_control() && c != '\n' && c != '\t' => escaped.push('?'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::{LogAxis, tick_time, time};

    /// The width of a label of seven characters, as a share of a narrow plot.
    const LABEL: f64 = 0.11;

    #[test]
    fn an_axis_has_ticks_whose_labels_have_room() {
        for decades in 0..12 {
            for first in [1.0, 1.3, 2.1, 3.0, 4.7, 9.9] {
                let ends = [first * 1e-3, first * 1e-3 * 10_f64.powi(decades)];
                let axis = LogAxis::new(ends.into_iter());
                let ticks = axis.ticks(6);
                assert!((1..=6).contains(&ticks.len()), "{ends:?}: {ticks:?}");
                for pair in ticks.windows(2) {
                    let gap = 0.9 * (axis.at(pair[1]) - axis.at(pair[0]));
                    assert!(gap > LABEL, "{ends:?}: {pair:?} are {gap} apart of {ticks:?}");
                }
                assert!(ticks.iter().all(|&us| tick_time(us).len() <= 7), "{ticks:?}");
                assert!(axis.at(ends[0]) > 0.0 && axis.at(ends[1]) < 1.0, "room at the ends");
            }
        }
    }

    #[test]
    fn times_have_three_digits_and_a_unit() {
        let got = [0.05, 0.99999, 1.234, 99.96, 1234.5, 2.5e6].map(time);
        assert_eq!(got, ["50.0 ns", "1.00 µs", "1.23 µs", "100.0 µs", "1.23 ms", "2.50 s"]);
        assert_eq!([0.05, 1.0, 2e3, 5e7].map(tick_time), ["50 ns", "1 µs", "2 ms", "50 s"]);
    }
}
