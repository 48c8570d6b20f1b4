//! Line charts as SVG, for the page of a report.
//!
//! Drawn here and not by a library, so that colours follow the reader's light or dark scheme by CSS and every point tells
//! its numbers when the pointer rests on it, without a script.

use std::fmt::Write;

/// How a number becomes a place on an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// From zero.
    Linear,
    Log,
    /// Percentiles: as much room from 90 to 99 as from 99 to 99.9.
    Nines,
}

#[derive(Clone, Debug)]
pub struct Axis {
    pub label: &'static str,
    pub scale: Scale,
}

#[derive(Clone, Debug)]
pub struct Series {
    pub name: String,
    /// Which of the page's colours.
    pub color: usize,
    pub points: Vec<(f64, f64)>,
}

/// A line across the chart, at a place of the x axis or of the y axis.
#[derive(Clone, Debug)]
pub enum Mark {
    At(f64, String),
    Limit(f64, String),
}

#[derive(Clone, Debug)]
pub struct Chart {
    pub title: String,
    pub x: Axis,
    pub y: Axis,
    pub series: Vec<Series>,
    pub marks: Vec<Mark>,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 42.0;

/// Room for a letter of a legend, also where a narrow window makes it larger.
const LETTER_WIDTH: f64 = 9.5;

/// More points than this have no text of their own.
const TOLD_MAX: usize = 400;

/// Text within markup.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            _ => out.push(c),
        }
    }
    out
}

impl Scale {
    /// A monotonic image in which places are linear.
    fn of(self, value: f64) -> f64 {
        match self {
            Scale::Linear => value,
            Scale::Log => value.max(1e-6).log10(),
            Scale::Nines => -((1.0 - value / 100.0).max(1e-7)).log10(),
        }
    }

    /// The ends of an axis that shows these values.
    fn range(self, values: impl Iterator<Item = f64>) -> (f64, f64) {
        // What has no place on an axis does not stretch it; the slowest of all, p100, is put at the end.
        let has_place = |value: &f64| match self {
            Scale::Linear => value.is_finite(),
            Scale::Log => value.is_finite() && *value > 0.0,
            Scale::Nines => *value < 100.0,
        };
        let (low, high) = values
            .filter(has_place)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        if low > high {
            return (if self == Scale::Log { 0.1 } else { 0.0 }, 1.0);
        }
        match self {
            Scale::Linear => (0.0, if high > 0.0 { high * 1.05 } else { 1.0 }),
            Scale::Log => (low / 1.2, (high * 1.2).max(low * 2.0)),
            Scale::Nines => (0.0, high),
        }
    }

    fn ticks(self, (low, high): (f64, f64)) -> Vec<f64> {
        match self {
            Scale::Linear => {
                let rough = (high - low) / 5.0;
                let power = 10f64.powf(rough.log10().floor());
                let step = [1.0, 2.0, 2.5, 5.0, 10.0].iter().map(|n| n * power).find(|step| *step >= rough);
                let step = step.unwrap_or(rough);
                (0..=10).map(|n| f64::from(n) * step).take_while(|tick| *tick <= high).collect()
            }
            Scale::Log => {
                let decades = (high / low).log10();
                let digits: &[f64] = if decades > 3.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
                let powers = low.log10().floor() as i32..=high.log10().ceil() as i32;
                let all = powers.flat_map(|power| digits.iter().map(move |digit| digit * 10f64.powi(power)));
                all.filter(|tick| (low..=high).contains(tick)).collect()
            }
            Scale::Nines => {
                let known = [0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999, 99.9999];
                known.into_iter().filter(|tick| (low..=high).contains(tick)).collect()
            }
        }
    }
}

/// A number as short as it can be told apart.
pub fn short(value: f64) -> String {
    let cut = |value: f64| {
        let text = format!("{value:.3}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        if text.is_empty() { "0".to_owned() } else { text.to_owned() }
    };
    match value.abs() {
        0.0 => "0".to_owned(),
        10_000_000.0.. => format!("{}M", cut((value / 1e5).round() / 10.0)),
        1_000_000.0.. => format!("{}M", cut((value / 1e4).round() / 100.0)),
        10_000.0.. => format!("{}k", cut((value / 100.0).round() / 10.0)),
        100.0.. => cut((value * 10.0).round() / 10.0),
        _ => cut(value),
    }
}

/// A percentile keeps all its nines.
fn tick_text(scale: Scale, value: f64) -> String {
    if scale == Scale::Nines { format!("p{value}") } else { short(value) }
}

impl Chart {
    pub fn svg(&self) -> String {
        let points = || self.series.iter().flat_map(|series| series.points.iter());
        let limits = self.marks.iter().filter_map(|mark| if let Mark::Limit(at, _) = mark { Some(*at) } else { None });
        let x_range = self.x.scale.range(points().map(|(x, _)| *x));
        let y_range = self.y.scale.range(points().map(|(_, y)| *y).chain(limits));
        let place = |scale: Scale, (low, high): (f64, f64), value: f64| {
            let (low, high) = (scale.of(low), scale.of(high));
            ((scale.of(value) - low) / (high - low).max(1e-12)).clamp(0.0, 1.0)
        };
        let x_of = |value: f64| LEFT + place(self.x.scale, x_range, value) * (WIDTH - LEFT - RIGHT);
        let y_of = |value: f64| HEIGHT - BOTTOM - place(self.y.scale, y_range, value) * (HEIGHT - TOP - BOTTOM);
        let mut svg = String::new();
        let mut add = |text: String| svg.push_str(&text);
        add(format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{0}\"><text class=\"title\" x=\"{LEFT}\" y=\"16\">{0}</text>",
            escape(&self.title)
        ));
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for tick in self.y.scale.ticks(y_range) {
            let (y, text) = (y_of(tick), tick_text(self.y.scale, tick));
            add(format!("<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"));
            add(format!(
                "<text class=\"tick\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
                LEFT - 6.0,
                y + 4.0
            ));
        }
        for tick in self.x.scale.ticks(x_range) {
            let (x, text) = (x_of(tick), tick_text(self.x.scale, tick));
            add(format!("<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>"));
            add(format!(
                "<text class=\"tick\" x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{text}</text>",
                bottom + 15.0
            ));
        }
        add(format!(
            "<text class=\"label\" x=\"{right}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            HEIGHT - 8.0,
            self.x.label
        ));
        add(format!("<text class=\"label\" x=\"6\" y=\"{}\">{}</text>", TOP - 6.0, self.y.label));
        for (number, mark) in self.marks.iter().enumerate() {
            match mark {
                Mark::At(at, text) => {
                    let (x, text) = (x_of(*at), escape(text));
                    // Neighbours do not write over each other.
                    let y = TOP + 10.0 + (number % 4) as f64 * 12.0;
                    let (anchor, dx) = if x > WIDTH * 0.7 { ("end", -4.0) } else { ("start", 4.0) };
                    add(format!(
                        "<line class=\"mark\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"><title>{text}</title></line>"
                    ));
                    add(format!(
                        "<text class=\"event\" x=\"{:.1}\" y=\"{y}\" text-anchor=\"{anchor}\">{text}</text>",
                        x + dx
                    ));
                }
                Mark::Limit(at, text) => {
                    let (y, text) = (y_of(*at), escape(text));
                    add(format!("<line class=\"limit\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"));
                    add(format!("<text class=\"event\" x=\"{}\" y=\"{:.1}\">{text}</text>", LEFT + 4.0, y - 4.0));
                }
            }
        }
        for series in &self.series {
            let mut path = String::new();
            for (x, y) in &series.points {
                write!(path, "{:.1},{:.1} ", x_of(*x), y_of(*y)).expect("a string takes everything");
            }
            add(format!("<polyline class=\"line c{}\" points=\"{}\"/>", series.color, path.trim_end()));
            if series.points.len() <= TOLD_MAX {
                for (x, y) in &series.points {
                    let text = format!(
                        "{}: {} {}, {} {}",
                        escape(&series.name),
                        tick_text(self.x.scale, *x),
                        self.x.label,
                        short(*y),
                        self.y.label
                    );
                    add(format!(
                        "<circle class=\"point c{}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\"><title>{text}</title></circle>",
                        series.color,
                        x_of(*x),
                        y_of(*y)
                    ));
                }
            }
        }
        let mut x = right;
        for series in self.series.iter().rev() {
            let name = escape(&series.name);
            add(format!(
                "<text class=\"legend c{}\" x=\"{x:.0}\" y=\"16\" text-anchor=\"end\">{name}</text>",
                series.color
            ));
            x -= 18.0 + LETTER_WIDTH * series.name.chars().count() as f64;
        }
        svg + "</svg>\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(x: Scale, y: Scale, points: Vec<(f64, f64)>) -> String {
        Chart {
            title: "a < b".to_owned(),
            x: Axis { label: "x", scale: x },
            y: Axis { label: "y", scale: y },
            series: vec![Series { name: "s & t".to_owned(), color: 1, points }],
            marks: vec![Mark::At(1.0, "<event>".to_owned()), Mark::Limit(2.0, "limit".to_owned())],
        }
        .svg()
    }

    #[test]
    fn every_point_lies_within_the_chart_and_tells_its_numbers() {
        for scale in [Scale::Linear, Scale::Log] {
            let svg = chart(Scale::Linear, scale, vec![(0.0, 0.0), (5.0, 0.2), (10.0, 40.0), (11.0, f64::NAN)]);
            let coordinate = |at: &str| at.split_once('"').unwrap().0.parse::<f64>().unwrap();
            let xs: Vec<f64> = svg.split("cx=\"").skip(1).map(coordinate).collect();
            assert_eq!(xs.len(), 4);
            assert!(xs.iter().all(|x| (LEFT..=WIDTH - RIGHT).contains(x)), "{xs:?}");
            let ys: Vec<f64> = svg.split("cy=\"").skip(1).take(3).map(coordinate).collect();
            assert!(ys.is_sorted_by(|a, b| a >= b) && ys[2] >= TOP && ys[0] <= HEIGHT - BOTTOM, "{ys:?}");
            assert!(svg.contains("<title>s &amp; t: 10 x, 40 y</title>"), "{svg}");
            assert!(svg.contains("a &lt; b") && svg.contains("&lt;event&gt;") && !svg.contains("<event>"));
        }
    }

    #[test]
    fn a_chart_without_points_is_a_chart() {
        for scale in [Scale::Linear, Scale::Log, Scale::Nines] {
            let svg = chart(scale, scale, Vec::new());
            assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n") && !svg.contains("NaN"), "{svg}");
        }
    }

    #[test]
    fn ticks_are_few_and_within_the_range() {
        assert_eq!(Scale::Linear.ticks((0.0, 105.0)), [0.0, 25.0, 50.0, 75.0, 100.0]);
        let near = |ticks: Vec<f64>, expected: &[f64]| {
            assert_eq!(ticks.len(), expected.len(), "{ticks:?}");
            assert!(ticks.iter().zip(expected).all(|(a, b)| (a / b - 1.0).abs() < 1e-9), "{ticks:?}");
        };
        near(Scale::Log.ticks((0.09, 3.0)), &[0.1, 0.2, 0.5, 1.0, 2.0]);
        near(Scale::Log.ticks((0.01, 1000.0)), &[0.01, 0.1, 1.0, 10.0, 100.0, 1000.0]);
        assert_eq!(Scale::Nines.ticks((0.0, 99.95)), [0.0, 50.0, 90.0, 99.0, 99.9]);
    }

    #[test]
    fn numbers_are_short() {
        let all = [0.0, 0.042, 1.5, 99.95, 123.46, 25_000.0, 1_250_000.0, 12_340_000.0].map(short);
        assert_eq!(all, ["0", "0.042", "1.5", "99.95", "123.5", "25k", "1.25M", "12.3M"]);
    }
}
