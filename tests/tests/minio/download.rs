//! Reads: ranges side by side, from one version, each fetched again from where it broke.

mod seaweedfs {
    use std::sync::Arc;

    use futures_util::StreamExt as _;
    use storage_core::{Backend, ErrorKind, RetrieveOptions, Retrieved, SaveOptions};
    use storage_tests::fixture::{Chunking, Content};
    use storage_tests::proxy::{End, Proxy, Request, Rule};

    use crate::{Settings, behind_proxy, key};

    const SMALL: Content = Content::new(1, 3 << 20);
    const LARGE: Content = Content::new(2, 60 << 20);

    async fn given(content: Content, change: impl Fn(Settings) -> Settings) -> (Proxy, Arc<dyn Backend>) {
        let (proxy, backend) = behind_proxy(change).await;
        let saved = backend.save(&key("a"), content.body(Chunking::Even), SaveOptions::default()).await;
        saved.expect("saved");
        proxy.forget();
        (proxy, backend)
    }

    async fn open(backend: &dyn Backend) -> Retrieved {
        backend.retrieve(&key("a"), RetrieveOptions::default()).await.expect("found")
    }

    fn is_read(request: &Request) -> bool {
        request.method == "GET" && request.path.ends_with("/a")
    }

    #[tokio::test]
    async fn a_small_object_takes_one_request() {
        let (proxy, backend) = given(SMALL, |settings| settings).await;
        let found = open(&*backend).await;
        assert!(found.meta.checksums.crc64nvme.is_some(), "its digest is told");
        SMALL.compare(0..SMALL.size_bytes, found.body).await.expect("whole");
        assert_eq!(proxy.exchanges().iter().filter(|seen| is_read(&seen.request)).count(), 1);
    }

    #[tokio::test]
    async fn a_large_object_comes_in_parallel_ranges_that_name_its_tag() {
        let (proxy, backend) = given(LARGE, |settings| settings).await;
        LARGE.compare(0..LARGE.size_bytes, open(&*backend).await.body).await.expect("whole");
        let exchanges = proxy.exchanges();
        let ranges: Vec<_> = exchanges.iter().filter(|seen| seen.request.header("range").is_some()).collect();
        assert_eq!(ranges.len(), 7, "8 MiB each but for the first, which the first answer gives");
        assert!(ranges.iter().all(|seen| seen.request.header("if-match").is_some()));
        assert!(proxy.most_at_once() > 1);
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_fetched_from_where_it_broke() {
        let (proxy, backend) = given(SMALL, |settings| settings).await;
        let fired = proxy.add(Rule::on(is_read).times(1).cut_response(2 << 20, End::Reset));
        SMALL.compare(0..SMALL.size_bytes, open(&*backend).await.body).await.expect("whole");
        assert_eq!(fired.fired(), 1);
        let exchanges = proxy.exchanges();
        let again = exchanges.iter().filter(|seen| is_read(&seen.request)).nth(1).expect("a second request");
        let range = again.request.header("range").expect("of the rest");
        let from: u64 = range
            .trim_start_matches("bytes=")
            .split('-')
            .next()
            .and_then(|n| n.parse().ok())
            .expect("a start");
        assert!(from > 0, "what came is kept: {range}");
    }

    #[tokio::test]
    async fn ranges_that_break_off_are_fetched_again() {
        let (proxy, backend) = given(LARGE, |settings| settings).await;
        let ranged = |request: &Request| is_read(request) && request.header("range").is_some();
        let fired = proxy.add(Rule::on(ranged).times(3).cut_response(1 << 20, End::Reset));
        LARGE.compare(0..LARGE.size_bytes, open(&*backend).await.body).await.expect("whole");
        assert_eq!(fired.fired(), 3);
    }

    #[tokio::test]
    async fn a_body_that_always_breaks_off_is_an_error_and_no_end() {
        let (proxy, backend) = given(SMALL, |settings| settings).await;
        proxy.add(Rule::on(is_read).cut_response(100_000, End::Reset));
        let mut body = open(&*backend).await.body;
        let mut last = None;
        while let Some(chunk) = body.next().await {
            last = Some(chunk.map(drop));
        }
        let error = last.expect("something came").expect_err("the end is an error");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", error.report());
    }

    #[tokio::test]
    async fn bytes_that_change_on_the_way_down_are_noticed() {
        for content in [SMALL, LARGE] {
            let (proxy, backend) = given(content, |settings| settings).await;
            proxy.add(Rule::on(is_read).times(1).alter_response(1_000_000));
            let error = open(&*backend).await.body.collect(100 << 20).await.expect_err("they are not those");
            assert_eq!(error.kind(), ErrorKind::ChecksumMismatch, "{}", error.report());
        }
    }

    #[tokio::test]
    async fn a_body_that_a_proxy_shortened_is_noticed() {
        let (proxy, backend) = given(SMALL, |settings| settings).await;
        proxy.add(Rule::on(is_read).times(1).truncate_response(1_000_000));
        let error = open(&*backend).await.body.collect(100 << 20).await.expect_err("it is not whole");
        assert_eq!(error.kind(), ErrorKind::ChecksumMismatch, "{}", error.report());
    }

    #[tokio::test]
    async fn an_object_that_is_replaced_meanwhile_is_not_mixed_with_the_new_one() {
        let (_proxy, backend) = given(LARGE, |settings| settings).await;
        let mut body = open(&*backend).await.body;
        body.next().await.expect("a chunk").expect("the first bytes");
        let other = Content::new(7, 61 << 20);
        backend.save(&key("a"), other.body(Chunking::Even), SaveOptions::default()).await.expect("replaced");
        let error = body.collect(100 << 20).await.expect_err("the rest is another object's");
        assert_eq!(error.kind(), ErrorKind::Conflict, "{}", error.report());
    }

    #[tokio::test]
    async fn a_version_that_is_superseded_meanwhile_is_read_to_its_end() {
        let (_proxy, backend) = given(LARGE, |settings| settings.with("versioning", "true")).await;
        let found = open(&*backend).await;
        let other = Content::new(7, 61 << 20);
        backend
            .save(&key("a"), other.body(Chunking::Even), SaveOptions::default())
            .await
            .expect("superseded");
        LARGE.compare(0..LARGE.size_bytes, found.body).await.expect("the version that was opened, whole");
    }
}
