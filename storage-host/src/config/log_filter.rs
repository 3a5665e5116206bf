//! What `LOG_LEVEL` may say. The loader checks it here, and telemetry filters by it.

use tracing_subscriber::filter::EnvFilter;

/// The levels that a log can be set to as a whole.
const LEVELS: &[&str] = &["error", "warn", "info", "debug", "trace", "off"];

/// The filter that a text means: a level, or levels by module such as `info,hyper=warn`.
///
/// A lone word that is no level would be taken for the name of a module and silence all others: it is refused.
///
/// # Errors
///
/// The end of a sentence that begins with the text.
pub(crate) fn log_filter(text: &str) -> Result<EnvFilter, String> {
    let form =
        format!("is not one of {}, or a filter such as info,storage_host::http=debug", LEVELS.join(", "));
    let is_sound = text.split(',').all(|directive| match directive.trim() {
        "" => false,
        directive => directive.contains(['=', '[']) || LEVELS.contains(&&*directive.to_ascii_lowercase()),
    });
    if !is_sound {
        return Err(form);
    }
    EnvFilter::builder().parse(text).map_err(|error| format!("{form}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_level_is_refused_with_the_levels() {
        for sound in ["info", "WARN", "off", "info,hyper=debug", "storage_host[request]=trace"] {
            log_filter(sound).expect(sound);
        }
        for faulty in ["infos", "", "info,", "hyper", "info,hyper=loud"] {
            let problem = log_filter(faulty).expect_err(faulty);
            assert!(problem.contains("error, warn, info, debug, trace"), "{problem}");
        }
    }
}
