//! Credentials for tests against Google Cloud Storage, or what stands in for it.

use std::path::{Path, PathBuf};

use rsa::pkcs8::{EncodePrivateKey as _, LineEnding};
use rsa::{RsaPrivateKey, rand_core::OsRng};
use serde_json::{Value, json};

/// The account that [`service_account_file`] is the key of.
pub const SERVICE_ACCOUNT: &str = "tests@storage-tests.iam.gserviceaccount.com";

/// The key of a service account, as Google hands out such files; it signs its own tokens, so that nobody is asked.
/// It is made once for the build, since making one takes seconds.
///
/// # Panics
///
/// If it cannot be made.
pub fn service_account_file() -> PathBuf {
    let executable = std::env::current_exe().expect("a test knows its executable");
    let target = executable.ancestors().nth(3).expect("a test lies in the target folder");
    let file = target.join("service-account-of-tests.json");
    if !file.is_file() {
        make(target, &file).expect("the key of the tests' service account is made");
    }
    file
}

/// The content of [`service_account_file`].
///
/// # Panics
///
/// As there.
pub fn service_account() -> Value {
    let text = std::fs::read_to_string(service_account_file()).expect("the key can be read");
    serde_json::from_str(&text).expect("the key is JSON")
}

fn make(folder: &Path, file: &Path) -> anyhow::Result<()> {
    let key = RsaPrivateKey::new(&mut OsRng, 2048)?;
    let account = json!({
        "type": "service_account",
        "project_id": "storage-tests",
        "private_key_id": "tests",
        "private_key": key.to_pkcs8_pem(LineEnding::LF)?.as_str(),
        "client_email": SERVICE_ACCOUNT,
        "client_id": "1",
        "token_uri": "https://oauth2.googleapis.com/token",
    });
    // Several tests may make one at once: the last takes the place of the others, whole.
    let mut made = tempfile::NamedTempFile::new_in(folder)?;
    serde_json::to_writer(&mut made, &account)?;
    made.persist(file)?;
    Ok(())
}
