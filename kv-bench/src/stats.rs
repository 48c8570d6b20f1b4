//! The little statistics that comparing needs: medians, spread, and the ratio of paired rounds with its confidence.

use serde::Serialize;

pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

/// The standard deviation of a sample.
fn deviation(values: &[f64]) -> Option<f64> {
    let mean = mean(values).filter(|_| values.len() >= 2)?;
    let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    Some((squares / (values.len() - 1) as f64).sqrt())
}

/// The standard deviation relative to the mean.
pub fn variation(values: &[f64]) -> Option<f64> {
    let mean = mean(values).filter(|mean| *mean > 0.0)?;
    Some(deviation(values)? / mean)
}

/// How many times as large one thing is as another, and where that lies with 95 % confidence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ratio {
    pub ratio: f64,
    /// None with a single pair.
    pub interval: Option<(f64, f64)>,
}

impl Ratio {
    /// Of pairs measured under the same conditions: the geometric mean of their ratios, and Student's interval of the
    /// logarithms. None without a pair of positive numbers.
    pub fn of_pairs(pairs: &[(f64, f64)]) -> Option<Ratio> {
        let logarithms: Vec<f64> =
            pairs.iter().filter(|(a, b)| *a > 0.0 && *b > 0.0).map(|(a, b)| (a / b).ln()).collect();
        let middle = mean(&logarithms)?;
        let interval = deviation(&logarithms).map(|deviation| {
            let half = student(logarithms.len() - 1) * deviation / (logarithms.len() as f64).sqrt();
            ((middle - half).exp(), (middle + half).exp())
        });
        Some(Ratio { ratio: middle.exp(), interval })
    }

    /// Whether it is sure that the two differ.
    pub fn differs(&self) -> bool {
        self.interval.is_some_and(|(low, high)| low > 1.0 || high < 1.0)
    }
}

/// Student's t for 95 % on both sides, by degrees of freedom; the last for all beyond.
const STUDENT: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

fn student(freedom: usize) -> f64 {
    STUDENT[freedom.clamp(1, STUDENT.len()) - 1]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::dice::Dice;
    use rand_distr::{Distribution, Normal};

    #[test]
    fn medians_and_spread_are_those_of_the_book() {
        assert_eq!([median(&[]), median(&[3.0, 1.0, 2.0]), median(&[4.0, 1.0])], [None, Some(2.0), Some(2.5)]);
        assert!((variation(&[9.0, 10.0, 11.0]).unwrap() - 0.1).abs() < 1e-12);
        assert_eq!((variation(&[5.0]), variation(&[0.0, 0.0])), (None, None));
    }

    #[test]
    fn a_ratio_has_its_interval() {
        let ratio = Ratio::of_pairs(&[(2.0, 1.0), (2.0, 1.0), (2.0, 1.0)]).unwrap();
        assert!((ratio.ratio - 2.0).abs() < 1e-9 && ratio.differs());
        // ln 1.9, 2, 2.1: mean 0.69232, deviation 0.05006, times 4.303 / sqrt 3.
        let (low, high) = Ratio::of_pairs(&[(1.9, 1.0), (2.0, 1.0), (2.1, 1.0)]).unwrap().interval.unwrap();
        assert!((low - 1.7647).abs() < 0.001 && (high - 2.2627).abs() < 0.001, "{low} {high}");
        assert_eq!(Ratio::of_pairs(&[(3.0, 2.0)]).unwrap().interval, None);
        assert_eq!(Ratio::of_pairs(&[(0.0, 2.0)]), None);
    }

    #[test]
    fn the_interval_holds_the_truth_as_often_as_it_says() {
        let (mut dice, noise) = (Dice::new(8, 0), Normal::new(0.0f64, 0.1).unwrap());
        let mut sample = || (1.2 * noise.sample(&mut dice).exp(), noise.sample(&mut dice).exp());
        let held = (0..2000).filter(|_| {
            let pairs: Vec<_> = (0..5).map(|_| sample()).collect();
            let (low, high) = Ratio::of_pairs(&pairs).unwrap().interval.unwrap();
            low <= 1.2 && 1.2 <= high
        });
        let share = held.count() as f64 / 2000.0;
        assert!((0.93..0.97).contains(&share), "{share}");
    }
}
