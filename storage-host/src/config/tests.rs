//! How the sources come together: precedence, named backends, unknown names, secrets, documentation.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use storage_core::{ConfigField, ConfigKind, ConfigSchema, Error, ErrorKind};
use tempfile::TempDir;

use super::*;

/// A working directory and an environment.
struct Place {
    directory: TempDir,
    options: LoadOptions,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let options = LoadOptions { directory: directory.path().to_owned(), ..LoadOptions::default() };
        Self { directory, options }
    }

    fn file(self, name: &str, text: impl AsRef<[u8]>) -> Self {
        std::fs::write(self.directory.path().join(name), text).expect("writable");
        self
    }

    fn toml(self, text: &str) -> Self {
        self.file("storage.toml", text)
    }

    fn dotenv(self, text: &str) -> Self {
        self.file(".env", text)
    }

    fn variable(mut self, name: &str, text: &str) -> Self {
        self.options.environment.insert(name.to_owned(), OsString::from(text));
        self
    }

    fn overriding(mut self, name: &str, text: &str) -> Self {
        self.options.overrides.set(name, text, "command line");
        self
    }

    fn load(self) -> Loaded {
        Config::load(self.options).map_err(|error| faults(&error)).expect("a sound configuration")
    }

    /// The faults of loading; each must contain the words of its place.
    fn refused(self, expected: &[&[&str]]) {
        let error = Config::load(self.options).err().expect("a faulty configuration");
        assert_faults(&error, expected);
    }
}

fn faults(error: &Error) -> Vec<String> {
    error.context().map(|(_, fault)| fault.to_owned()).collect()
}

#[track_caller]
fn assert_faults(error: &Error, expected: &[&[&str]]) {
    assert_eq!(error.kind(), ErrorKind::ConfigInvalid);
    let faults = faults(error);
    assert!(!error.report().contains("hunter2"), "a secret is told: {}", error.report());
    assert_eq!(faults.len(), expected.len(), "{faults:#?}");
    for words in expected {
        let told = faults.iter().any(|fault| words.iter().all(|word| fault.contains(word)));
        assert!(told, "{words:?} in {faults:#?}");
    }
}

/// The schema of a plugin of type `minio`.
fn minio() -> ConfigSchema {
    let field = ConfigField::new;
    ConfigSchema {
        fields: vec![
            field("endpoint_url", "MINIO_ENDPOINT_URL", ConfigKind::Url, "Where it is").required(),
            field("secret_key", "MINIO_SECRET_KEY", ConfigKind::Text, "The secret").secret(),
            field("bucket_name", "MINIO_BUCKET_NAME", ConfigKind::Text, "The bucket").default("files"),
            field("region", "MINIO_REGION", ConfigKind::Text, "The region"),
        ],
    }
}

#[track_caller]
fn assert_value(values: &ConfigValues, key: &str, text: &str, origin: &str) {
    let value = values.get(key).unwrap_or_else(|| panic!("{key} is not set"));
    assert_eq!((value.text.as_str(), value.origin.as_str()), (text, origin), "{key}");
}

#[test]
fn nothing_at_all_is_a_sound_configuration() {
    let config = Place::new().load().config;
    assert_eq!(config.primary_backend, "local");
    assert_eq!(config.backends["local"].backend_type, "local");
    assert_eq!(config.catalog_url, "sqlite:./storage-catalog.db");
    assert_eq!(config.http.bind.to_string(), "127.0.0.1:8080");
    assert_eq!(config.http.max_upload_bytes, 10 << 30);
    assert_eq!(config.links.default_expiry, Duration::from_secs(15 * 60));
    assert_eq!(config.links.max_expiry, Duration::from_secs(7 * 24 * 3600));
    assert_eq!((config.calls.max_retries, config.calls.max_concurrency), (3, 1024));
    assert_eq!(config.default_quota, DefaultQuota::default());
    assert!(config.auth.jwt_hs256_secret.is_none() && !config.log.json && !config.log.debug);
}

#[test]
fn each_source_goes_before_those_below_it() {
    let toml = "[http]\nbind = \"127.0.0.1:1\"\nmax_upload = 1024\n[calls]\nretries = 0x10\n[log]\ndebug = true\n\
                level = \"warn\"";
    let config = Place::new()
        .toml(toml)
        .dotenv("STORAGE_BIND=127.0.0.1:2\nSTORAGE_MAX_UPLOAD='2 KiB'\nLOG_LEVEL=error\n")
        .variable("STORAGE_BIND", "127.0.0.1:3")
        .variable("LOG_LEVEL", "debug")
        .overriding("LOG_LEVEL", "trace")
        .load()
        .config;
    assert_eq!(config.http.bind.port(), 3);
    assert_eq!(config.http.max_upload_bytes, 2048);
    assert_eq!(config.calls.max_retries, 16);
    assert_eq!(config.log.level, "trace");
    assert!(config.log.debug);
}

#[test]
fn an_empty_variable_brings_the_default_back() {
    let config = Place::new()
        .toml("[http]\npublic_url = \"https://files.example.org\"\n[log]\nlevel = \"warn\"")
        .dotenv("STORAGE_PUBLIC_URL=\n")
        .variable("LOG_LEVEL", "")
        .load()
        .config;
    assert_eq!(config.http.public_url, None);
    assert_eq!(config.log.level, "info");
}

#[test]
fn every_host_fault_is_told_at_once_with_key_variable_value_and_origin() {
    Place::new()
        .toml("[http]\nbind = \"localhost\"\nbnd = 1\n[links]\nexpiry = \"8days\"\n[lnks]\nx = 1\n")
        .dotenv("STORAGE_MAX_UPLOAD=big\nPRIMRY_BACKEND=minio\nAUTH_JWT_HS256_SECRET=hunter2\n")
        .variable("STORAGE_CALL_TIMEOUT", "0s")
        .variable("STORAGE_MAX_CONCURRENCY", "0")
        .variable("STORAGE_RETRIES", "5000000000")
        .variable("LOG_LEVEL", "loud")
        .variable("STORAGE_LINKS", "maybe")
        .variable("CATALOG_URL", "postgres://ada:hunter2@db/catalog")
        .refused(&[
            &["http.bind (STORAGE_BIND)", "\"localhost\"", "127.0.0.1:8080", "storage.toml line 2 [http]"],
            &["http.bnd", "did you mean http.bind?", "storage.toml line 3"],
            &["links.expiry (STORAGE_LINK_EXPIRY)", "longer than links.max_expiry", "storage.toml line 5"],
            &["lnks", "did you mean [links]?", "line 6"],
            &["http.max_upload (STORAGE_MAX_UPLOAD)", "\"big\"", "a size such as", ".env line 1"],
            &["PRIMRY_BACKEND", "did you mean PRIMARY_BACKEND?", ".env line 2"],
            &["auth.jwt_hs256_secret", "shorter than 32 bytes", ".env line 3"],
            &["calls.timeout", "longer than nothing", "environment"],
            &["calls.max_concurrency", "at least 1"],
            &["calls.retries", "5000000000 is more than"],
            &["log.level (LOG_LEVEL)", "\"loud\"", "error, warn, info, debug, trace"],
            &["links.mode (STORAGE_LINKS)", "\"maybe\"", "one of auto, host, backend"],
            &["catalog_url (CATALOG_URL)", "sqlite: and a path"],
        ]);
}

#[test]
fn a_value_of_another_form_is_told_once() {
    Place::new().variable("STORAGE_RETRIES", "many").refused(&[&["\"many\" is not a whole number"]]);
    Place::new().variable("STORAGE_MAX_CONCURRENCY", "-1").refused(&[&["\"-1\" is not a whole number"]]);
}

#[test]
fn malformed_toml_is_told_with_line_and_column_and_without_its_text() {
    Place::new()
        .toml("[backends.hot]\nsecret_key = \"hunter2\" hunter2\n[http\nbind = 1\n")
        .refused(&[&["storage.toml line 2, column 24", "not well-formed TOML"], &["storage.toml line 3"]]);
    Place::new().toml("[http]\nbind = \"a\"\nbind = \"b\"").refused(&[&["line 3", "duplicate key"]]);
}

#[test]
fn sections_and_values_do_not_stand_in_for_each_other() {
    let toml = "http = 3\nbackends = 4\nconfig = \"other.toml\"\nPrimary_backend = \"a\"\n\
                [log]\nlevel = [\"info\"]\n[log.format]\n";
    Place::new().toml(toml).refused(&[
        &["http:", "write [http]"],
        &["backends:", "write [backends]"],
        &["config:", "only be set by the variable STORAGE_CONFIG"],
        &["Primary_backend", "did you mean primary_backend?"],
        &["log.level", "one value is expected"],
        &["log.format", "one value is expected"],
    ]);
}

#[test]
fn a_file_that_is_named_must_exist() {
    let place = Place::new().variable("STORAGE_CONFIG", "other.toml");
    place.refused(&[&["config (STORAGE_CONFIG)", "other.toml cannot be read", "environment"]]);

    let mut place =
        Place::new().dotenv("STORAGE_CONFIG=absent.toml").file("named.toml", "[http]\nbind = \"[::1]:9\"");
    place.options.config_file = Some("named.toml".into());
    let loaded = place.load();
    assert_eq!(loaded.config.http.bind.port(), 9);
    let config = setting(&loaded, &[], "config");
    assert!(config.value.expect("found").ends_with("named.toml"));
    assert_eq!(config.origin.as_deref(), Some("command line"));
}

#[test]
fn plugin_directories_are_the_named_ones_then_the_programs_then_the_working_directorys() {
    let mut place = Place::new().toml("plugin_dir = [\"/opt/plugins\", \"more\"]");
    place.options.program_directory = Some("/usr/lib/storage".into());
    let directory = place.directory.path().to_owned();
    let expected = |named: &[PathBuf]| {
        let rest = [PathBuf::from("/usr/lib/storage/plugins"), directory.join("plugins")];
        named.iter().cloned().chain(rest).collect::<Vec<_>>()
    };
    let options = place.options.clone();
    assert_eq!(place.load().config.plugin_dirs, expected(&["/opt/plugins".into(), directory.join("more")]));

    std::fs::create_dir_all(&directory).expect("writable");
    let mut options = options;
    options.environment.insert("PLUGIN_DIR".to_owned(), "plugins:/a:".into());
    let dirs = Config::load(options).map_err(|error| faults(&error)).expect("sound").config.plugin_dirs;
    assert_eq!(dirs, [directory.join("plugins"), "/a".into(), "/usr/lib/storage/plugins".into()]);
}

#[test]
fn a_backend_type_is_configured_by_its_variables_alone() {
    let loaded = Place::new()
        .dotenv("PRIMARY_BACKEND=minio\nMINIO_ENDPOINT_URL=http://a:9000\nMINIO_SECRET_KEY='hun$ter2'\n")
        .variable("MINIO_ENDPOINT_URL", "http://b:9000")
        .variable("MINIO_REGION", "")
        .variable("STORAGE_BACKENDS__MINIO__BUCKET_NAME", "own")
        .load();
    assert_eq!(loaded.config.backends["minio"].backend_type, "minio");
    let values = loaded.backend_values("minio", &minio()).expect("the primary backend");
    assert_value(&values, "endpoint_url", "http://b:9000", "environment");
    assert_value(&values, "secret_key", "hun$ter2", ".env line 3");
    assert_value(&values, "bucket_name", "own", "environment, STORAGE_BACKENDS__MINIO__BUCKET_NAME");
    assert!(values.get("region").is_none(), "an empty variable is none");
    loaded.check(&[("minio", &minio())], &["minio"]).expect("sound");
}

#[test]
fn a_named_backends_own_values_go_before_those_of_its_type() {
    let toml = "primary_backend = \"hot\"\n[backends.hot]\ntype = \"minio\"\nbucket_name = \"of-file\"\n\
                endpoint_url = \"http://file:9000\"\nsecret_key = \"hunter2\"\n";
    let json = r#"{"hot": {"bucket_name": "of-json", "secret_key": 5}, "cold": {"type": "minio"}}"#;
    let loaded = Place::new()
        .toml(toml)
        .variable("BACKENDS_CONFIG", json)
        .variable("MINIO_ENDPOINT_URL", "http://type:9000")
        .variable("MINIO_REGION", "eu")
        .dotenv("STORAGE_BACKENDS__HOT__SECRET_KEY=own\n")
        .load();
    assert_eq!(loaded.config.backends.keys().collect::<Vec<_>>(), ["cold", "hot"]);
    let hot = loaded.backend_values("hot", &minio()).expect("configured");
    assert_value(&hot, "secret_key", "own", ".env line 1, STORAGE_BACKENDS__HOT__SECRET_KEY");
    assert_value(&hot, "bucket_name", "of-json", "environment, BACKENDS_CONFIG");
    assert_value(&hot, "endpoint_url", "http://file:9000", "storage.toml line 5 [backends.hot]");
    assert_value(&hot, "region", "eu", "environment");
    let cold = loaded.backend_values("cold", &minio()).expect("configured");
    assert_value(&cold, "endpoint_url", "http://type:9000", "environment");
    let error = loaded.backend_values("warm", &minio()).expect_err("not configured");
    assert!(error.to_string().contains("backends: cold, hot"), "{error}");
}

#[test]
fn the_section_of_a_backend_that_is_named_like_its_type_is_below_the_variables() {
    let loaded = Place::new()
        .toml("[backends.local]\ntype = \"local\"\npath = \"/file\"\nmode = \"x\"")
        .variable("LOCAL_STORAGE_PATH", "/variable")
        .load();
    let field = |key, variable| ConfigField::new(key, variable, ConfigKind::Text, "x");
    let schema =
        ConfigSchema { fields: vec![field("path", "LOCAL_STORAGE_PATH"), field("mode", "LOCAL_MODE")] };
    let values = loaded.backend_values("local", &schema).expect("the primary backend");
    assert_value(&values, "path", "/variable", "environment");
    assert_value(&values, "mode", "x", "storage.toml line 4 [backends.local]");
}

#[test]
fn faulty_backends_are_told_at_load() {
    let toml = "primary_backend = \"hot\"\n[backends.hot]\ntyp = \"minio\"\n[backends.Cold-1]\ntype = \"minio\"\n\
                [backends.warm]\ntype = \"minio\"\nlist = [1]\n[backends]\nodd = 3\n";
    Place::new()
        .toml(toml)
        .variable("BACKENDS_CONFIG", r#"{"a": {"type": "x", "b": {"c": "hunter2"}}, "z": "hunter2"}"#)
        .variable("STORAGE_BACKENDS__WARN__REGION", "eu")
        .variable("STORAGE_BACKENDS__WARM", "eu")
        .variable("STORAGE_BACKENDS__WARM__TYPE", "local")
        .refused(&[
            &["backends.hot.type", "is typ a misspelling of it?", "line 3"],
            &["backends.Cold-1", "lower-case letters"],
            &["backends.warm.list", "one value is expected", "line 8"],
            &["backends.odd", "write [backends.odd]", "line 10"],
            &["backends.a.b (BACKENDS_CONFIG)", "not a text"],
            &["backends.z (BACKENDS_CONFIG)", "not a JSON object", "environment"],
            &["STORAGE_BACKENDS__WARN__REGION", "did you mean warm?", "environment"],
            &["STORAGE_BACKENDS__WARM:", "NAME__KEY"],
            &["STORAGE_BACKENDS__WARM__TYPE", "set in its section"],
        ]);
    Place::new().dotenv("BACKENDS_CONFIG=\"{'hot': {'secret': 'hunter2'}}\"").refused(&[&[
        "backends_config (BACKENDS_CONFIG)",
        "not well-formed JSON",
        "column",
        ".env line 1",
    ]]);
    Place::new().variable("PRIMARY_BACKEND", "AWS S3").refused(&[&[
        "PRIMARY_BACKEND",
        "\"AWS S3\"",
        "environment",
    ]]);
}

#[test]
fn configured_backends_ask_which_of_them_is_primary() {
    let place = Place::new().toml("[backends.hot]\ntype = \"minio\"");
    place.refused(&[&["primary_backend (PRIMARY_BACKEND)", "one of hot"]]);
    let loaded =
        Place::new().toml("[backends.hot]\ntype = \"minio\"").variable("PRIMARY_BACKEND", "local").load();
    assert_eq!(loaded.config.backends.keys().collect::<Vec<_>>(), ["hot", "local"]);
}

#[test]
fn the_check_tells_every_fault_of_every_backend() {
    let loaded = Place::new()
        .toml("primary_backend = \"hot\"\n[backends.hot]\ntype = \"minio\"\nbuckt_name = \"x\"\nsecret_key = \"hunter2\"")
        .variable("BACKENDS_CONFIG", r#"{"cold": {"type": "minio", "endpoint_url": "nowhere"}}"#)
        .variable("STORAGE_BACKENDS__COLD__REGOIN", "eu")
        .load();
    let error = loaded.check(&[("minio", &minio())], &["minio"]).expect_err("faulty");
    assert_faults(
        &error,
        &[
            &["backends.hot.endpoint_url (MINIO_ENDPOINT_URL)", "is required"],
            &["backends.hot.buckt_name", "did you mean bucket_name?", "storage.toml line 4 [backends.hot]"],
            &["backends.cold.endpoint_url", "\"nowhere\" is not a URL", "BACKENDS_CONFIG"],
            &["backends.cold.regoin", "did you mean region?", "STORAGE_BACKENDS__COLD__REGOIN"],
        ],
    );
}

#[test]
fn in_dotenv_every_unknown_variable_is_a_fault() {
    let dotenv = "PRIMARY_BACKEND=minio\nMINIO_ENDPOINT_URL=http://a:9000\nMINIO_BUCKETNAME=b\nMINIO_MADE_UP=c\n\
                  AWS_REGION=eu\nGCS_BUCKET=x\nDATABASE_URL=hunter2\nAPP_NAME=x\nAPP_SECRET=hunter2\n\
                  STORAGE_ENV_FOREIGN='APP_*, TZ'\nTZ=UTC\n";
    let loaded = Place::new().dotenv(dotenv).load();
    let error = loaded.check(&[("minio", &minio())], &["minio", "aws_s3", "local"]).expect_err("faulty");
    assert_faults(
        &error,
        &[
            &["MINIO_BUCKETNAME", "did you mean MINIO_BUCKET_NAME?", ".env line 3"],
            &["MINIO_MADE_UP", "STORAGE_ENV_FOREIGN", ".env line 4"],
            &["GCS_BUCKET", ".env line 6"],
            &["DATABASE_URL", "STORAGE_ENV_FOREIGN", ".env line 7"],
        ],
    );
}

#[test]
fn in_the_environment_near_misses_are_faults_and_other_programs_are_left_alone() {
    let place = || {
        Place::new()
            .variable("PRIMARY_BACKEND", "minio")
            .variable("MINIO_ENDPOINT_URL", "http://a:9000")
            .variable("MINIO_ROOT_USER", "of the server")
            .variable("AWS_BUCKET_NAME", "of another plugin")
            .variable("PATH", "/bin")
            .variable("RUST_LOG", "info")
            .variable("DB_LOG_LEVEL", "info")
            .variable("STORAGE_SERVICE_HOST", "10.0.0.1")
            .variable("STORAGE_PORT", "tcp://10.0.0.1:80")
            .variable("STORAGE_PORT_80_TCP_ADDR", "10.0.0.1")
    };
    place().load().check(&[("minio", &minio())], &["minio", "aws_s3"]).expect("nothing is near");

    let loaded = place().variable("MINIO_REGOIN", "eu").load();
    let error = loaded.check(&[("minio", &minio())], &["minio"]).expect_err("near");
    assert_faults(&error, &[&["MINIO_REGOIN", "did you mean MINIO_REGION?", "environment"]]);

    place()
        .variable("PRIMRY_BACKEND", "a")
        .variable("log_level", "b")
        .variable("STORAGE_MADE_UP", "c")
        .refused(&[
            &["PRIMRY_BACKEND", "did you mean PRIMARY_BACKEND?", "environment"],
            &["log_level", "did you mean LOG_LEVEL?"],
            &["STORAGE_MADE_UP", "no such variable", "remove it or, if it belongs to another program"],
        ]);
    let foreign = "PRIMRY_BACKEND,STORAGE_MADE_*";
    place()
        .variable("PRIMRY_BACKEND", "a")
        .variable("STORAGE_MADE_UP", "c")
        .variable("STORAGE_ENV_FOREIGN", foreign)
        .load();
}

#[test]
fn a_pattern_that_would_hide_everything_is_refused() {
    Place::new()
        .variable("STORAGE_ENV_FOREIGN", "*,A*B,APP_*")
        .refused(&[&["env_foreign (STORAGE_ENV_FOREIGN)", "\"*\""], &["\"A*B\""]]);
}

#[test]
fn a_misspelt_override_is_a_fault() {
    let loaded = Place::new().overriding("MINIO_REGION", "eu").load();
    let error = loaded.check(&[], &["minio"]).err().map(|error| faults(&error));
    assert_eq!(error, None, "a plugin that is not in use");
    let loaded = Place::new().overriding("BINDING", "eu").load();
    assert_faults(&loaded.check(&[], &[]).expect_err("unknown"), &[&["BINDING", "command line"]]);
}

#[cfg(unix)]
#[test]
fn text_that_is_not_unicode_is_refused_where_it_matters() {
    use std::os::unix::ffi::OsStringExt as _;

    let odd = || OsString::from_vec(vec![b'a', 0xff]);
    let mut place = Place::new().variable("PRIMARY_BACKEND", "minio");
    place.options.environment.insert("OTHER".to_owned(), odd());
    place.options.environment.insert("MINIO_ENDPOINT_URL".to_owned(), odd());
    let error = place.load().check(&[("minio", &minio())], &[]).expect_err("not Unicode");
    assert!(
        faults(&error)
            .iter()
            .any(|fault| fault.contains("MINIO_ENDPOINT_URL") && fault.contains("not Unicode"))
    );

    let mut place = Place::new();
    place.options.environment.insert("LOG_LEVEL".to_owned(), odd());
    place.refused(&[&["log.level (LOG_LEVEL)", "not Unicode", "environment"]]);
    Place::new().file(".env", b"A=1\nB=\xff").refused(&[&[".env", "line 2 is not UTF-8"]]);
}

fn setting(loaded: &Loaded, schemas: &[(&str, &ConfigSchema)], key: &str) -> Setting {
    let settings = loaded.describe(schemas);
    settings
        .into_iter()
        .find(|setting| setting.key == key)
        .unwrap_or_else(|| panic!("{key} is not described"))
}

#[test]
fn every_value_is_shown_with_its_origin_and_no_secret_is() {
    const LONG: &str = "hunter2hunter2hunter2hunter2hunter2";
    let loaded = Place::new()
        .toml("primary_backend = \"hot\"\n[backends.hot]\ntype = \"minio\"\nsecret_key = \"hunter2\"\n")
        .dotenv(&format!("AUTH_JWT_HS256_SECRET={LONG}\nSTORAGE_BIND=127.0.0.1:81\n"))
        .variable("BACKENDS_CONFIG", r#"{"cold": {"type": "unknown", "token": "hunter2"}}"#)
        .variable("MINIO_ENDPOINT_URL", "http://ada:hunter2@minio:9000/x")
        .load();
    let schema = minio();
    let schemas = [("minio", &schema)];
    let shown = |key: &str| {
        let setting = setting(&loaded, &schemas, key);
        (setting.value.unwrap_or_default(), setting.origin.unwrap_or_default())
    };
    let expected = [
        ("http.bind", "127.0.0.1:81", ".env line 2"),
        ("log.level", "info", "default"),
        ("primary_backend", "hot", "storage.toml line 1"),
        ("auth.jwt_hs256_secret", "********", ".env line 1"),
        ("backends_config", "********", "environment"),
        ("backends.hot.secret_key", "********", "storage.toml line 4 [backends.hot]"),
        ("backends.hot.endpoint_url", "http://ada:********@minio:9000/x", "environment"),
        ("backends.hot.bucket_name", "files", "default"),
        ("backends.hot.region", "", ""),
        ("backends.cold.token", "********", "environment, BACKENDS_CONFIG"),
    ];
    for (key, value, origin) in expected {
        assert_eq!(shown(key), (value.to_owned(), origin.to_owned()), "{key}");
    }
    let secret = loaded.config.auth.jwt_hs256_secret.as_ref().expect("set");
    assert_eq!(secret.expose_secret(), LONG);
    let everything = format!("{:?} {:?}", loaded.config, loaded.describe(&schemas));
    assert!(!everything.contains("hunter2"), "{everything}");
}

#[test]
fn the_documentation_lists_exactly_what_there_is() {
    let page = include_str!("../../../docs/configuration.md");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    let expected: Vec<String> = host_schema().fields.iter().map(documented).collect();
    assert_eq!(rows, expected, "the table of docs/configuration.md should be:\n{}", expected.join("\n"));
}

/// The row of a setting in the documentation's table.
fn documented(field: &ConfigField) -> String {
    let place = match field.key.split_once('.') {
        _ if keys::VARIABLE_ONLY.contains(&field.key.as_str()) => "—".to_owned(),
        Some((section, key)) => format!("`[{section}] {key}`"),
        None => format!("`{}`", field.key),
    };
    let default = field.default.as_deref().map_or_else(|| "—".to_owned(), |default| format!("`{default}`"));
    format!(
        "| `{}` | {place} | {} | {default} | {} |",
        field.variable,
        field.kind.expected(),
        field.description
    )
}

#[test]
fn the_example_names_every_variable_with_its_default() {
    let example = include_str!("../../../.env.example");
    let assignment = |line: &str| {
        let line = line.strip_prefix('#').unwrap_or(line);
        let (name, _) = line.split_once('=')?;
        name.chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
            .then(|| line.to_owned())
    };
    let assignments: Vec<String> = example.lines().filter_map(assignment).collect();
    for field in &host_schema().fields {
        let named: Vec<_> =
            assignments.iter().filter(|line| line.starts_with(&format!("{}=", field.variable))).collect();
        assert_eq!(named.len(), 1, "{} in .env.example", field.variable);
        if let Some(default) = &field.default {
            assert_eq!(*named[0], format!("{}={default}", field.variable));
        }
    }
    // As it is, and with every line switched on, it is a sound configuration; a plugin's variables are its own.
    Place::new().dotenv(example).load();
    let all: Vec<_> =
        assignments.iter().filter(|line| !line.starts_with("STORAGE_CONFIG=")).cloned().collect();
    let loaded = Place::new().dotenv(&all.join("\n")).load();
    let plugins = ["local", "minio", "aws_s3", "azure_blob", "gcs"];
    loaded.check(&[], &plugins).expect("no variable that nobody has");
}
