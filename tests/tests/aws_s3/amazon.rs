//! [`Amazon`]: answers in the place of Amazon's own hosts, whichever a backend asks for.
//!
//! It is the proxy that the backend connects through. It ends the TLS of each host, with a certificate of an authority
//! of its own, and hands on what it reads, so that a recorder sees requests as Amazon would: host, headers, signature.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use storage_tests::proxy::Proxy;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::rig::Settings;

/// The key that Amazon publishes with its examples of signatures, and its secret.
pub(crate) const ACCESS_KEY: &str = "AKIDEXAMPLE";
const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// In the place of Amazon's hosts. It ends when it is dropped.
pub(crate) struct Amazon {
    /// What was asked; it goes on to the endpoint that was given.
    pub(crate) recorder: Proxy,
    endpoint: String,
    ca_file: tempfile::NamedTempFile,
    task: JoinHandle<()>,
}

impl Drop for Amazon {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Amazon {
    /// Hands on to this endpoint what its hosts are asked.
    pub(crate) async fn before(endpoint: &str) -> Self {
        let recorder = Proxy::before(endpoint).await;
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let ca_file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(ca_file.path(), certificate.pem()).expect("written");
        let authority = Arc::new(Issuer::new(params, key));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let target = recorder.endpoint().trim_start_matches("http://").to_owned();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                let (authority, target) = (Arc::clone(&authority), target.clone());
                tokio::spawn(async move {
                    // It ends with an error when the client goes away.
                    let _ended = connect(stream, &authority, &target).await;
                });
            }
        });
        Self { recorder, endpoint, ca_file, task }
    }

    /// The settings of a bucket that is reached through these hosts, and whatever else is set.
    pub(crate) fn settings(&self, bucket: &str, more: &[(&'static str, &str)]) -> Settings {
        let mut settings = vec![
            ("bucket_name", bucket.to_owned()),
            ("region", "us-east-1".to_owned()),
            ("access_key_id", ACCESS_KEY.to_owned()),
            ("secret_access_key", SECRET_KEY.to_owned()),
            ("abort_uploads_after", "0s".to_owned()),
            ("proxy", self.endpoint.clone()),
            ("ca_file", self.ca_file.path().display().to_string()),
        ];
        for (key, value) in more {
            settings.retain(|(known, _)| known != key);
            settings.push((key, (*value).to_owned()));
        }
        settings
    }
}

/// `CONNECT host:443`, the handshake for that host, and then whatever is said.
async fn connect(
    stream: TcpStream,
    authority: &Issuer<'static, KeyPair>,
    target: &str,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut first = String::new();
    stream.read_line(&mut first).await?;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? <= 2 {
            break;
        }
    }
    let host = first.split(' ').nth(1).and_then(|place| place.split_once(':')).expect("CONNECT host:443").0;
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec![host.to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, authority).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .expect("a certificate for the host");
    let mut plain = TlsAcceptor::from(Arc::new(config)).accept(stream).await?;
    let mut server = TcpStream::connect(target).await?;
    copy_bidirectional(&mut plain, &mut server).await?;
    Ok(())
}
