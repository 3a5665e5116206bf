//! [`Waiver`]: a trial that a server's own fault keeps from passing, and why.
//!
//! A plugin says what it does with the provider, not with an emulator of it. Where an emulator does something wrong
//! that the provider does right, the trials that see it are waived for this target, each with the fault as its
//! reason, and what they would show is shown by a test of the requests instead. The list is in [`crate::target`].
//! A waived trial still runs. One that passes fails the run, so that no waiver outlives its reason.

use storage_conformance::{Case, Outcome};

/// A trial that a server's own fault keeps from passing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiver {
    /// The trial's name without the target's: `delete::if_match_keeps_other_content`.
    pub trial: &'static str,
    /// What the server does wrong, in a few words: it is shown in every list of trials.
    pub reason: &'static str,
}

impl Waiver {
    /// What the outcome of a waived trial counts as: nothing checked where it failed, a failure in all other cases.
    pub fn judge(&self, outcome: &Outcome) -> Outcome {
        match outcome {
            Outcome::Failed(_) => Outcome::LeftOut(format!("waived: {}", self.reason)),
            Outcome::Passed | Outcome::NotSupported(_) | Outcome::LeftOut(_) => Outcome::Failed(format!(
                "it is waived, because {}, but it does not fail: take the waiver out of tests/src/target.rs",
                self.reason
            )),
        }
    }
}

/// The waivers whose trial the suite does not have, or that are there twice.
pub fn stale(waivers: &[Waiver], cases: &[Case]) -> Vec<&'static str> {
    let known = |waiver: &Waiver| cases.iter().any(|case| case.name == waiver.trial);
    let twice = |at: usize| waivers[..at].iter().any(|earlier| earlier.trial == waivers[at].trial);
    let stale = waivers.iter().enumerate().filter(|(at, waiver)| !known(waiver) || twice(*at));
    stale.map(|(_, waiver)| waiver.trial).collect()
}

#[cfg(test)]
mod tests {
    use storage_core::Capabilities;

    use super::*;

    const WAIVER: Waiver =
        Waiver { trial: "delete::a_deleted_object_is_gone", reason: "the server forgets to" };

    #[test]
    fn only_a_failure_is_excused_and_the_reason_is_told() {
        let excused = WAIVER.judge(&Outcome::Failed("the key exists".to_owned()));
        assert_eq!(excused, Outcome::LeftOut("waived: the server forgets to".to_owned()));
        let others = [
            Outcome::Passed,
            Outcome::NotSupported(Capabilities::COPY),
            Outcome::LeftOut("it has no clock".to_owned()),
        ];
        for outcome in others {
            let Outcome::Failed(told) = WAIVER.judge(&outcome) else {
                panic!("{outcome:?} must fail the run");
            };
            assert!(told.contains("the server forgets to") && told.contains("target.rs"), "{told}");
        }
    }

    #[test]
    fn waivers_of_unknown_trials_and_second_ones_are_found() {
        let cases = storage_conformance::all();
        let gone = Waiver { trial: "delete::was_renamed", ..WAIVER };
        assert!(stale(&[WAIVER], &cases).is_empty());
        assert_eq!(stale(&[WAIVER, gone, WAIVER], &cases), [gone.trial, WAIVER.trial]);
    }
}
