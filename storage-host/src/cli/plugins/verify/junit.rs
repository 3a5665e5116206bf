//! The report in the form of JUnit, which CI systems read.

use std::fmt::Write as _;

use super::report::{Group, Report, Trial, Verdict};

/// The whole file.
pub(super) fn write(report: &Report) -> String {
    let counts = report.counts();
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let total = counts.passed + counts.failed + counts.not_supported + counts.left_out;
    push(
        &mut xml,
        format_args!(
            "<testsuites name=\"{}\" tests=\"{total}\" failures=\"{}\" skipped=\"{}\" time=\"{:.3}\">\n",
            escaped(&report.head.plugin.r#type),
            counts.failed,
            counts.left_out,
            report.seconds
        ),
    );
    for group in &report.groups {
        push_group(&mut xml, group);
    }
    xml.push_str("</testsuites>\n");
    xml
}

fn push_group(xml: &mut String, group: &Group) {
    let seconds: f64 = group.trials.iter().map(|trial| trial.seconds).sum();
    push(
        xml,
        format_args!(
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" skipped=\"{}\" time=\"{seconds:.3}\">\n",
            escaped(&group.name),
            group.trials.len(),
            group.counts.failed,
            group.counts.left_out
        ),
    );
    for trial in &group.trials {
        push_trial(xml, &group.name, trial);
    }
    xml.push_str("  </testsuite>\n");
}

fn push_trial(xml: &mut String, group: &str, trial: &Trial) {
    let name = trial.name.split_once("::").map_or(trial.name.as_str(), |(_, name)| name);
    push(
        xml,
        format_args!(
            "    <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\"",
            escaped(group),
            escaped(name),
            trial.seconds
        ),
    );
    let reason = escaped(trial.reason.as_deref().unwrap_or_default());
    match trial.outcome {
        Verdict::Failed => push(
            xml,
            format_args!(
                "><failure message=\"the backend does not behave as it must\">{reason}</failure></testcase>\n"
            ),
        ),
        Verdict::LeftOut => push(xml, format_args!("><skipped message=\"{reason}\"/></testcase>\n")),
        Verdict::Passed | Verdict::NotSupported => xml.push_str("/>\n"),
    }
}

fn push(xml: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = xml.write_fmt(text);
}

/// The text as XML has it. Characters that no XML may hold are shown as such.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\n' | '\t' => safe.push(c),
            c if c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}') => {
                safe.push(char::REPLACEMENT_CHARACTER)
            }
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_plugin_says_cannot_break_the_file() {
        assert_eq!(escaped("<a & \"b\">\u{1b}[2J\0\n"), "&lt;a &amp; &quot;b&quot;&gt;\u{FFFD}[2J\u{FFFD}\n");
    }
}
