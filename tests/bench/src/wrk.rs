//! `wrk`: many small requests on a few connections.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::process::find_program;

/// What it measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) requests_per_second: f64,
    /// 99 of 100 answers came in this time, in milliseconds.
    pub(crate) p99_ms: f64,
}

/// Requests as fast as so many connections can. `script` makes the requests where they are not all alike.
///
/// # Errors
///
/// It is not installed, or answers were no success.
pub(crate) async fn run(
    url: &str,
    headers: &[(String, String)],
    connections: usize,
    time: Duration,
    script: Option<&Path>,
) -> Result<Measured> {
    let mut command = tokio::process::Command::new(find_program("wrk")?);
    command.args(["--threads", "1", "--latency", "--timeout", "30s"]);
    command.arg("--connections").arg(connections.to_string());
    // It knows whole seconds only.
    command.arg("--duration").arg(format!("{}s", time.as_secs_f64().ceil().max(1.0)));
    for (name, value) in headers {
        command.arg("--header").arg(format!("{name}: {value}"));
    }
    if let Some(script) = script {
        command.arg("--script").arg(script);
    }
    let output = command.arg(url).output().await?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "wrk: {}", String::from_utf8_lossy(&output.stderr).trim());
    read(&text)
}

fn read(text: &str) -> Result<Measured> {
    let field = |name: &str| text.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::trim);
    let fault = field("Non-2xx or 3xx responses:").or_else(|| field("Socket errors:"));
    ensure!(fault.is_none(), "not all requests succeeded:\n{text}");
    let rate = field("Requests/sec:").and_then(|rate| rate.parse().ok());
    let latency = field("99%").and_then(milliseconds);
    let (requests_per_second, p99_ms) = rate.zip(latency).with_context(|| format!("wrk says:\n{text}"))?;
    Ok(Measured { requests_per_second, p99_ms })
}

fn milliseconds(text: &str) -> Option<f64> {
    let units = [("us", 1e-3), ("ms", 1.0), ("s", 1e3), ("m", 6e4)];
    units.into_iter().find_map(|(unit, factor)| Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "  Latency Distribution\n     50%  105.00us\n     99%    1.35ms\n  \
                          1000 requests in 1.00s, 1MB read\nRequests/sec:  13871.91\nTransfer/sec: 1MB\n";

    #[test]
    fn rate_and_latency_are_read() {
        let measured = read(ANSWER).expect("figures");
        assert_eq!((measured.requests_per_second, measured.p99_ms), (13871.91, 1.35));
        assert_eq!(milliseconds("92.00us"), Some(0.092));
        assert_eq!(milliseconds("1.20s"), Some(1200.0));
    }

    #[test]
    fn answers_that_are_no_success_are_a_fault() {
        let error = read(&format!("{ANSWER}  Non-2xx or 3xx responses: 7\n")).expect_err("a fault");
        assert!(error.to_string().contains("Non-2xx"), "{error}");
    }
}
