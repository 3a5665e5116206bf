//! [`Row`]: one line of work, who competed in it, and what is asked of us. It is what the JSON file holds.

use serde::{Deserialize, Serialize};

/// What the figures of a row are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    CallsPerSecond,
    BytesPerSecond,
    Nanoseconds,
    Milliseconds,
    Bytes,
    Count,
}

/// One line of work.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    /// By which it is asked for.
    pub(crate) name: String,
    /// What is done.
    pub(crate) work: String,
    pub(crate) unit: Unit,
    /// We come first.
    pub(crate) contenders: Vec<Contender>,
    pub(crate) floors: Vec<Floor>,
}

/// Who does the work.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Contender {
    pub(crate) name: String,
    /// A figure for each round. The same round of two contenders ran one right after the other.
    pub(crate) rounds: Vec<f64>,
}

/// What is asked of the first contender.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Floor {
    /// It is so many times as good as another one, at least.
    Ratio { against: String, at_least: f64 },
    /// Its figure is that of another one and so much more, at most.
    Added { to: String, at_most: f64 },
    /// Its figure is this, at most.
    Figure { at_most: f64 },
}

/// How the first contender stands to a floor.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Standing {
    /// Against whom.
    pub(crate) against: Option<String>,
    /// What was reached, in words.
    pub(crate) reached: String,
    /// What was asked, in words.
    pub(crate) asked: String,
    pub(crate) holds: bool,
}

impl Unit {
    /// A figure as people read it.
    pub(crate) fn show(self, figure: f64) -> String {
        match self {
            Self::CallsPerSecond => format!("{}/s", grouped(figure)),
            Self::BytesPerSecond => format!("{:.2} GiB/s", figure / GIB),
            Self::Nanoseconds => format!("{figure:.0} ns"),
            Self::Milliseconds => format!("{figure:.1} ms"),
            Self::Bytes if figure.abs() < 1024.0 * 1024.0 => format!("{:.1} KiB", figure / 1024.0),
            Self::Bytes => format!("{:.1} MiB", figure / (1024.0 * 1024.0)),
            Self::Count => format!("{figure:.1}"),
        }
    }

    /// Whether a larger figure is the better one.
    pub(crate) fn larger_is_better(self) -> bool {
        matches!(self, Self::CallsPerSecond | Self::BytesPerSecond)
    }
}

const GIB: f64 = 1024.0 * 1024.0 * 1024.0;

impl Row {
    /// Who did so under this name.
    pub(crate) fn contender(&self, name: &str) -> Option<&Contender> {
        self.contenders.iter().find(|contender| contender.name == name)
    }

    /// How many times as good the first contender is as this one: the median over the rounds of what they did
    /// one right after the other, so that what slowed down a round slowed down both.
    pub(crate) fn ratio_to(&self, other: &Contender) -> Option<f64> {
        self.over_rounds(
            other,
            |ours, theirs| {
                if self.unit.larger_is_better() { ours / theirs } else { theirs / ours }
            },
        )
    }

    fn over_rounds(&self, other: &Contender, figure: impl Fn(f64, f64) -> f64) -> Option<f64> {
        let ours = self.contenders.first()?;
        median(ours.rounds.iter().zip(&other.rounds).map(|(ours, theirs)| figure(*ours, *theirs)).collect())
    }

    /// How the first contender stands to each floor.
    pub(crate) fn standings(&self) -> Vec<Standing> {
        self.floors.iter().filter_map(|floor| self.standing(floor)).collect()
    }

    fn standing(&self, floor: &Floor) -> Option<Standing> {
        let unit = self.unit;
        match floor {
            Floor::Ratio { against, at_least } => {
                let reached = self.ratio_to(self.contender(against)?)?;
                Some(Standing {
                    against: Some(against.clone()),
                    reached: format!("{reached:.2}"),
                    asked: format!("≥ {at_least}"),
                    holds: reached >= *at_least,
                })
            }
            Floor::Added { to, at_most } => {
                let added = self.over_rounds(self.contender(to)?, |ours, theirs| ours - theirs)?;
                Some(Standing {
                    against: Some(to.clone()),
                    reached: format!("+ {}", unit.show(added)),
                    asked: format!("≤ + {}", unit.show(*at_most)),
                    holds: added <= *at_most,
                })
            }
            Floor::Figure { at_most } => {
                let figure = self.contenders.first()?.median()?;
                Some(Standing {
                    against: None,
                    reached: unit.show(figure),
                    asked: format!("≤ {}", unit.show(*at_most)),
                    holds: figure <= *at_most,
                })
            }
        }
    }
}

impl Contender {
    /// The middle one of its figures.
    pub(crate) fn median(&self) -> Option<f64> {
        median(self.rounds.clone())
    }

    /// The smallest and the largest.
    pub(crate) fn spread(&self) -> Option<(f64, f64)> {
        let smallest = self.rounds.iter().copied().reduce(f64::min)?;
        Some((smallest, self.rounds.iter().copied().reduce(f64::max)?))
    }
}

fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    match figures.len() {
        0 => None,
        count if count % 2 == 0 => Some(f64::midpoint(figures[middle - 1], figures[middle])),
        _ => Some(figures[middle]),
    }
}

/// A whole number with its thousands set apart.
fn grouped(figure: f64) -> String {
    let digits = format!("{figure:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(unit: Unit, ours: &[f64], theirs: &[f64], floor: Floor) -> Row {
        let contender =
            |name: &str, rounds: &[f64]| Contender { name: name.to_owned(), rounds: rounds.to_vec() };
        Row {
            name: "a".to_owned(),
            work: "b".to_owned(),
            unit,
            contenders: vec![contender("ours", ours), contender("theirs", theirs)],
            floors: vec![floor],
        }
    }

    #[test]
    fn contenders_are_compared_round_by_round() {
        let floor = Floor::Ratio { against: "theirs".to_owned(), at_least: 2.0 };
        // The machine was ten times as slow in the second round.
        let row = row(Unit::CallsPerSecond, &[200.0, 20.0, 210.0], &[100.0, 10.0, 100.0], floor);
        let standing = &row.standings()[0];
        assert_eq!((standing.reached.as_str(), standing.holds), ("2.00", true));
    }

    #[test]
    fn less_time_is_better() {
        let floor = Floor::Ratio { against: "theirs".to_owned(), at_least: 1.0 };
        assert!(!row(Unit::Nanoseconds, &[200.0], &[100.0], floor).standings()[0].holds);
        let floor = Floor::Added { to: "theirs".to_owned(), at_most: 100.0 };
        assert!(row(Unit::Nanoseconds, &[200.0], &[100.0], floor).standings()[0].holds);
        let floor = Floor::Figure { at_most: 199.0 };
        assert!(!row(Unit::Nanoseconds, &[200.0], &[100.0], floor).standings()[0].holds);
    }

    #[test]
    fn figures_are_readable() {
        assert_eq!(Unit::CallsPerSecond.show(1_234_567.4), "1,234,567/s");
        assert_eq!(Unit::CallsPerSecond.show(12.0), "12/s");
        assert_eq!(Unit::Bytes.show(2048.0), "2.0 KiB");
        assert_eq!(median(vec![3.0, 1.0, 2.0, 10.0]), Some(2.5));
    }
}
