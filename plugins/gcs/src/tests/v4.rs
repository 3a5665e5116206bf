//! Signed URLs against Google's published vectors.
//!
//! They are those of `storage/v1/v4_signatures.json` in github.com/googleapis/conformance-tests (Copyright Google LLC,
//! Apache License 2.0) that concern objects and the style of URLs that the plugin makes. A string to sign is given as
//! its last line, the digest of the request in its one form; the lines above it follow from moment and scope.

use std::time::Duration;

use rsa::pkcs1v15::{Signature, VerifyingKey};
use rsa::pkcs8::DecodePublicKey as _;
use rsa::signature::Verifier as _;

use crate::presign::{Canonical, Unsigned};

const EMAIL: &str = "test-iam-credentials@dummy-project-id.iam.gserviceaccount.com";

/// The public half of the key that Google signed the vectors with.
const PUBLIC_KEY: &str = "\
-----BEGIN PUBLIC KEY-----\n\
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEArD8zIqyKLbX0Nq8o0Jj1\n\
qHEhHhqO3+0OP7TEFx5Vxc6PdwBoFNrfnJRI/S+ZaDYS1avr5Pqpp8g8+UNOMvI1\n\
VsjGM8xjTaxkVv8mmKp6pSmQstTt25pzY1exA2wv4xNWSwWNFNx2kh35+kvTQ/DF\n\
3YA9P7pUU1sKur1PP8OoubWLFO59iy5UE5dX0O/3pjvZ2HAhSXsx2VWtB5nlrHR8\n\
FrKJNLJMEGEDSMz9yRfQaUeYCU9oDYHuiqKQ3rCXi6C82l+3FJw5/ggJ5y7iw8ME\n\
rCFSslcYQRbBVz6ZYKWkEcJhs8BG3/16bfaqNusNlDIJ99I7DmipUngF/HEulYhf\n\
rQIDAQAB\n\
-----END PUBLIC KEY-----";

/// The URL of the vector `Simple headers` without its signature.
const URL: &str = "https://storage.googleapis.com/test-bucket/test-object?X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-\
     Credential=test-iam-credentials%40dummy-project-id.iam.gserviceaccount.com%2F20190201%2Fauto%2Fs\
     torage%2Fgoog4_request&X-Goog-Date=20190201T090000Z&X-Goog-Expires=10&X-Goog-SignedHeaders=bar%3\
     Bfoo%3Bhost";

/// And that signature.
const SIGNATURE: &str = "68ecd3b008328ed30d91e2fe37444ed7b9b03f28ed4424555b5161980531ef87db1c3a5bc0265aad5640af30f96014c9\
     4fb2dba7479c41bfe1c020eb90c0c6d387d4dd09d4a5df8b60ea50eb6b01cdd786a1e37020f5f95eb8f9b6cd3f65a1f8\
     a8a65c9fcb61ea662959efd9cd73b683f8d8804ef4d6d9b2852419b013368842731359d7f9e6d1139032ceca75d5e67c\
     ee5fd0192ea2125e5f2955d38d3d50cf116f3a52e6a62de77f6207f5b95aaa1d7d0f8a46de89ea72e7ea30f21286318d\
     7eba0142232b0deb3a1dc9e1e812a981c66b5ffda3c6b01a8a9d113155792309fd53a3acfd054ca7776e8eec28c26480\
     cd1e3c812f67f91d14217f39a606669d";

struct Vector {
    description: &'static str,
    method: &'static str,
    endpoint: &'static str,
    bucket: &'static str,
    object: &'static str,
    headers: &'static [(&'static str, &'static str)],
    query: &'static [(&'static str, &'static str)],
    moment: &'static str,
    expires_in_seconds: u64,
    digest: &'static str,
}

const VECTORS: &[Vector] = &[
    Vector {
        description: "Simple GET",
        method: "GET",
        endpoint: "https://storage.googleapis.com",
        bucket: "test-bucket",
        object: "test-object",
        headers: &[],
        query: &[],
        moment: "2019-02-01T09:00:00Z",
        expires_in_seconds: 10,
        digest: "00e2fb794ea93d7adb703edaebdd509821fcc7d4f1a79ac5c8d2b394df109320",
    },
    Vector {
        description: "Simple PUT",
        method: "PUT",
        endpoint: "https://storage.googleapis.com",
        bucket: "test-bucket",
        object: "test-object",
        headers: &[],
        query: &[],
        moment: "2019-02-01T09:00:00Z",
        expires_in_seconds: 10,
        digest: "78742860705da91404222d5d66ff89850292471199c3c2808d116ad12e6177b4",
    },
    Vector {
        description: "POST for resumable uploads",
        method: "POST",
        endpoint: "https://storage.googleapis.com",
        bucket: "test-bucket",
        object: "test-object",
        headers: &[("X-Goog-Resumable", "start")],
        query: &[],
        moment: "2019-02-01T09:00:00Z",
        expires_in_seconds: 10,
        digest: "877f8b40179d2753296f2fd6de815ab40503c7a3c446a7b44aa4e74422ff4daf",
    },
    Vector {
        description: "Vary expiration and timestamp",
        method: "GET",
        endpoint: "https://storage.googleapis.com",
        bucket: "test-bucket",
        object: "test-object",
        headers: &[],
        query: &[],
        moment: "2019-03-01T09:00:00Z",
        expires_in_seconds: 20,
        digest: "779f19fdb6fd381390e2d5af04947cf21750277ee3c20e0c97b7e46a1dff8907",
    },
    Vector {
        description: "Vary bucket and object",
        method: "GET",
        endpoint: "https://storage.googleapis.com",
        bucket: "test-bucket2",
        object: "test-object2",
        headers: &[],
        query: &[],
        moment: "2019-02-01T09:00:00Z",
        expires_in_seconds: 10,
        digest: "a139afbf35ac30e9864f63197f79609731ab1b0ca166e2a456dba156fcd3f9ce",
    },
    Vector {
        description: "Slashes in object name should not be URL encoded",
        method: "GET",
        endpoint: "https://storage.googleapis.com",
        bucket: "test-bucket",
        object: "path/with/slashes/under_score/amper&sand/file.ext",
        headers: &[("header/name/with/slash", "should-be-encoded")],
        query: &[],
        moment: "2019-02-01T09:00:00Z",
        expires_in_seconds: 10,
        digest: "f1d206dd8cbe1b892d4081ccddae0927d9f5fee5653fb2a2f43e7c20ed455cad",
    },
    Vector {
        description: "Forward Slashes should not be stripped",
        method: "GET",
        endpoint: "https://storage.googleapis.com",
        bucket: "test-bucket",
        object: "/path/with/slashes/under_score/amper&sand/file.ext",
        headers: &[],
        query: &[],
        moment: "2019-02-01T09:00:00Z",
        expires_in_seconds: 10,
        digest: "63c601ecd6ccfec84f1113fc906609cbdf7651395f4300cecd96ddd2c35164f8",
    },
    Vector {
        description: "Simple headers",
        method: "GET",
        endpoint: "https://storage.googleapis.com",
        bucket: "test-bucket",
        object: "test-object",
        headers: &[("BAR", "BAR-value"), ("foo", "foo-value")],
        query: &[],
        moment: "2019-02-01T09:00:00Z",
        expires_in_seconds: 10,
        digest: "59c1ac1a6ee7d773d5c4487ecc861d60b71c4871dd18fc7d8485fac09df1d296",
    },
    Vector {
        description: "Headers with colons",
        method: "GET",
        endpoint: "https://storage.googleapis.com",
        bucket: "test-bucket",
        object: "test-object",
        headers: &[("BAR", "2023-02-10T03:"), ("foo", "2023-02-10T02:00:00Z")],
        query: &[],
        moment: "2019-02-01T09:00:00Z",
        expires_in_seconds: 10,
        digest: "a2a6df7e6bd818894e1f60ac3c393901b512ca1cf1061ba602dace3fb38c19a6",
    },
    Vector {
        description: "Headers should be trimmed",
        method: "GET",
        endpoint: "https://storage.googleapis.com",
        bucket: "test-bucket",
        object: "test-object",
        headers: &[
            ("collapsed", "abc    def"),
            ("leading", "    xyz"),
            ("trailing", "abc    "),
            ("tabs", "\tabc\t\t\t\tdef\t"),
        ],
        query: &[],
        moment: "2019-02-01T09:00:00Z",
        expires_in_seconds: 10,
        digest: "19153e83555808dbfeb8969043cc8ce8d5db0cce91dc11fb9df58b8130f09d42",
    },
    Vector {
        description: "Header value with multiple inline values",
        method: "GET",
        endpoint: "https://storage.googleapis.com",
        bucket: "test-bucket",
        object: "test-object",
        headers: &[("multiple", " xyz ,  abc, def  , xyz   ")],
        query: &[],
        moment: "2019-02-01T09:00:00Z",
        expires_in_seconds: 10,
        digest: "4df8e486146c31f1c8cd4e4c730554cde4326791ba48ec11fa969a3de064cd7f",
    },
    Vector {
        description: "Customer-supplied encryption key",
        method: "GET",
        endpoint: "https://storage.googleapis.com",
        bucket: "test-bucket",
        object: "test-object",
        headers: &[
            ("X-Goog-Encryption-Algorithm", "AES256"),
            ("X-Goog-Encryption-Key", "key"),
            ("X-Goog-Encryption-Key-Sha256", "key-hash"),
        ],
        query: &[],
        moment: "2019-02-01T09:00:00Z",
        expires_in_seconds: 10,
        digest: "66a45104eba8bdd9748723b45cbd54c3f0f6dba337a5deb9fb6a66334223dc06",
    },
    Vector {
        description: "Query Parameter Encoding",
        method: "GET",
        endpoint: "https://storage.googleapis.com",
        bucket: "test-bucket",
        object: "test-object",
        headers: &[],
        query: &[("aA0é/=%-_.~", "~ ._-%=/é0Aa")],
        moment: "2019-02-01T09:00:00Z",
        expires_in_seconds: 10,
        digest: "448f96c23dafa8210900554e138b2b5fd55bc53ef53b8637cecc3edec45a8fcf",
    },
    Vector {
        description: "Query Parameter Ordering",
        method: "GET",
        endpoint: "https://storage.googleapis.com",
        bucket: "test-bucket",
        object: "test-object",
        headers: &[],
        query: &[("prefix", "/foo"), ("X-Goog-Meta-Foo", "bar")],
        moment: "2019-02-01T09:00:00Z",
        expires_in_seconds: 10,
        digest: "4dafe74ad142f32b7c25fc4e6b38fd3b8a6339d7f112247573fb0066f637db6c",
    },
    Vector {
        description: "Header Ordering",
        method: "GET",
        endpoint: "https://storage.googleapis.com",
        bucket: "test-bucket",
        object: "test-object",
        headers: &[("X-Goog-Date", "20190201T090000Z")],
        query: &[],
        moment: "2019-02-01T09:00:00Z",
        expires_in_seconds: 10,
        digest: "4052143280d90d5f4a8c878ff7418be6fee5d34e50b1da28d8081a094b88fa61",
    },
    Vector {
        description: "Simple GET with hostname",
        method: "GET",
        endpoint: "https://storage.googleapis.com",
        bucket: "test-bucket",
        object: "test-object",
        headers: &[],
        query: &[],
        moment: "2019-02-01T09:00:00Z",
        expires_in_seconds: 10,
        digest: "00e2fb794ea93d7adb703edaebdd509821fcc7d4f1a79ac5c8d2b394df109320",
    },
    Vector {
        description: "Simple GET with non-default hostname",
        method: "GET",
        endpoint: "http://localhost:8080",
        bucket: "test-bucket",
        object: "test-object",
        headers: &[],
        query: &[],
        moment: "2019-02-01T09:00:00Z",
        expires_in_seconds: 10,
        digest: "e47446edb8eed4c1797dfd31ce30272be89659a6ef38e91b549740c8f875d27b",
    },
    Vector {
        description: "Simple GET with endpoint on client",
        method: "GET",
        endpoint: "https://storage.googleapis.com:443",
        bucket: "test-bucket",
        object: "test-object",
        headers: &[],
        query: &[],
        moment: "2019-02-01T09:00:00Z",
        expires_in_seconds: 10,
        digest: "00e2fb794ea93d7adb703edaebdd509821fcc7d4f1a79ac5c8d2b394df109320",
    },
    Vector {
        description: "Endpoint on client with scheme",
        method: "GET",
        endpoint: "http://localhost:8080",
        bucket: "test-bucket",
        object: "test-object",
        headers: &[],
        query: &[],
        moment: "2019-02-01T09:00:00Z",
        expires_in_seconds: 10,
        digest: "e47446edb8eed4c1797dfd31ce30272be89659a6ef38e91b549740c8f875d27b",
    },
    Vector {
        description: "Emulator host",
        method: "GET",
        endpoint: "https://xyz.googleapis.com",
        bucket: "test-bucket",
        object: "test-object",
        headers: &[],
        query: &[],
        moment: "2019-02-01T09:00:00Z",
        expires_in_seconds: 10,
        digest: "4f6f519cc03e25d19fcd476d7a45bffcccdba33d10e00214a0f2debc204e2386",
    },
    Vector {
        description: "Endpoint on client takes precedence over emulator",
        method: "GET",
        endpoint: "http://localhost:8080",
        bucket: "test-bucket",
        object: "test-object",
        headers: &[],
        query: &[],
        moment: "2019-02-01T09:00:00Z",
        expires_in_seconds: 10,
        digest: "e47446edb8eed4c1797dfd31ce30272be89659a6ef38e91b549740c8f875d27b",
    },
    Vector {
        description: "Hostname takes precedence over endpoint and emulator",
        method: "GET",
        endpoint: "https://xyz.googleapis.com",
        bucket: "test-bucket",
        object: "test-object",
        headers: &[],
        query: &[],
        moment: "2019-02-01T09:00:00Z",
        expires_in_seconds: 10,
        digest: "4f6f519cc03e25d19fcd476d7a45bffcccdba33d10e00214a0f2debc204e2386",
    },
    Vector {
        description: "Universe domain",
        method: "GET",
        endpoint: "https://storage.domain.com",
        bucket: "test-bucket",
        object: "test-object",
        headers: &[],
        query: &[],
        moment: "2019-02-01T09:00:00Z",
        expires_in_seconds: 10,
        digest: "31ff08f2cd5e6f02cc5ded6d74bb90ad97322b49b30d0cba130fcc473f85e822",
    },
];

impl Vector {
    fn canonical(&self) -> Canonical {
        let moment = self.moment.parse().expect("a moment");
        let mut unsigned = Unsigned::new(self.method, self.endpoint, self.bucket, self.object, moment);
        self.headers.iter().for_each(|(name, value)| unsigned.header(name, *value));
        self.query.iter().for_each(|(name, value)| unsigned.query(name, *value));
        unsigned.canonical(EMAIL, Duration::from_secs(self.expires_in_seconds))
    }
}

#[test]
fn every_request_is_brought_into_the_form_that_google_signs() {
    for vector in VECTORS {
        let signed = vector.canonical().string_to_sign;
        let (above, digest) = signed.rsplit_once('\n').expect("four lines");
        assert_eq!(digest, vector.digest, "{}", vector.description);
        let moment = vector.moment.replace(['-', ':'], "");
        let scope = format!("{}/auto/storage/goog4_request", &moment[..8]);
        assert_eq!(above, format!("GOOG4-RSA-SHA256\n{moment}\n{scope}"), "{}", vector.description);
    }
}

#[test]
fn googles_signature_is_one_of_the_text_that_is_signed_here_and_the_url_is_googles() {
    let vector = VECTORS.iter().find(|vector| vector.description == "Simple headers").expect("the vector");
    let signature = hex::decode(SIGNATURE).expect("hex");
    let key = VerifyingKey::<rsa::sha2::Sha256>::new(
        rsa::RsaPublicKey::from_public_key_pem(PUBLIC_KEY).expect("a public key"),
    );
    let canonical = vector.canonical();
    let given = Signature::try_from(signature.as_slice()).expect("a signature");
    key.verify(canonical.string_to_sign.as_bytes(), &given).expect("the signature is of this text");
    assert_eq!(canonical.signed(&signature), format!("{URL}&X-Goog-Signature={SIGNATURE}"));
}
