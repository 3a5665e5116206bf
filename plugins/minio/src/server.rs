//! Which product answers, and in what it differs from S3: the table of quirks.
//!
//! What a product may or may not be able to do, by version or configuration, is asked by [`crate::probe`]. Here
//! stands only what cannot be asked cheaply.

/// A server that speaks S3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Product {
    /// MinIO, or a server made of its code.
    Minio,
    /// SeaweedFS.
    Seaweed,
    /// Garage.
    Garage,
    /// Ceph's object gateway.
    Ceph,
    /// RustFS.
    RustFs,
    /// Cloudflare R2.
    R2,
    /// Amazon S3 itself.
    Aws,
    /// Another.
    #[default]
    Other,
}

impl Product {
    /// Recognises the product by the `Server` header, else by the address.
    pub(crate) fn recognise(server: Option<&str>, endpoint: &str) -> Self {
        let server = server.unwrap_or_default().to_ascii_lowercase();
        let by_header = [
            ("seaweedfs", Product::Seaweed),
            ("minio", Product::Minio),
            ("rustfs", Product::RustFs),
            ("garage", Product::Garage),
            ("ceph", Product::Ceph),
            ("amazons3", Product::Aws),
        ];
        if let Some((_, product)) = by_header.into_iter().find(|(name, _)| server.contains(name)) {
            return product;
        }
        let host = endpoint.to_ascii_lowercase();
        if host.ends_with(".r2.cloudflarestorage.com") {
            Product::R2
        } else if host.contains(".amazonaws.com") {
            Product::Aws
        } else {
            Product::Other
        }
    }

    /// What people call it, with the version where it tells one.
    pub(crate) fn describe(self, server: Option<&str>) -> String {
        let name = match self {
            Product::Minio => "MinIO",
            Product::Seaweed => {
                // `SeaweedFS 8000GB 4.48`: the middle word is how the binary was built.
                let version = server.and_then(|text| text.split_whitespace().last());
                let version = version.filter(|text| text.starts_with(|c: char| c.is_ascii_digit()));
                return version
                    .map_or_else(|| "SeaweedFS".to_owned(), |version| format!("SeaweedFS {version}"));
            }
            Product::Garage => "Garage",
            Product::Ceph => {
                return server.map_or_else(|| "Ceph".to_owned(), |text| format!("Ceph ({text})"));
            }
            Product::RustFs => "RustFS",
            Product::R2 => "Cloudflare R2",
            Product::Aws => "Amazon S3",
            Product::Other => return server.unwrap_or("a server that does not tell its name").to_owned(),
        };
        name.to_owned()
    }

    /// Lists by folder: `a/b` comes before `a-b`, although `-` is before `/`, and what is listed after a key
    /// follows that order. [`crate::walk`] puts it right.
    pub(crate) fn lists_by_folder(self) -> bool {
        matches!(self, Product::Seaweed)
    }

    /// Why this server cannot keep an object under this key, although it would not say so.
    pub(crate) fn key_fault(self, key: &str) -> Option<&'static str> {
        if self != Product::Seaweed {
            return None;
        }
        let is_own = |segment: &str| segment == ".uploads" || segment.ends_with(".versions");
        if key.contains('\\') {
            Some("SeaweedFS takes a backslash for a slash, so that two keys would be one object")
        } else if key.split('/').any(is_own) {
            Some(
                "SeaweedFS keeps folders of the names .uploads and ….versions for itself, and lists nothing in them",
            )
        } else {
            None
        }
    }

    /// Decides the condition of a completion or a delete some time before it acts, so that two at once may both
    /// find that it holds.
    pub(crate) fn decides_conditions_early(self) -> bool {
        matches!(self, Product::Seaweed)
    }

    /// Keeps a part that was sent again beside the former, and lists both.
    pub(crate) fn keeps_former_parts(self) -> bool {
        matches!(self, Product::Seaweed)
    }

    /// Has MinIO's own health endpoints.
    pub(crate) fn has_minio_health(self) -> bool {
        matches!(self, Product::Minio)
    }

    /// Takes parts of one upload only where all but the last have the same size.
    pub(crate) fn wants_equal_parts(self) -> bool {
        matches!(self, Product::R2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_a_server_would_confuse_are_known() {
        for key in ["a\\b", ".uploads/a", "a/.versions/b", "a/b.versions"] {
            assert!(
                Product::Seaweed.key_fault(key).is_some() && Product::Minio.key_fault(key).is_none(),
                "{key}"
            );
        }
        assert_eq!(Product::Seaweed.key_fault("a/.uploads2/versions"), None);
    }

    #[test]
    fn products_are_recognised_and_named() {
        for (server, endpoint, product, name) in [
            (Some("MinIO"), "http://127.0.0.1:9000", Product::Minio, "MinIO"),
            (Some("SeaweedFS 8000GB 4.48"), "http://127.0.0.1:8333", Product::Seaweed, "SeaweedFS 4.48"),
            (
                Some("Ceph Object Gateway (squid)"),
                "http://ceph",
                Product::Ceph,
                "Ceph (Ceph Object Gateway (squid))",
            ),
            (Some("cloudflare"), "https://x.r2.cloudflarestorage.com", Product::R2, "Cloudflare R2"),
            (Some("nginx"), "https://files.example.org", Product::Other, "nginx"),
            (None, "https://files.example.org", Product::Other, "a server that does not tell its name"),
        ] {
            let found = Product::recognise(server, endpoint);
            assert_eq!((found, found.describe(server).as_str()), (product, name));
        }
    }
}
