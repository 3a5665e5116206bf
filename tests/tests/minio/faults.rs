//! What else a server can answer, each once, and conditions as they are sent.

mod seaweedfs {
    use storage_core::{
        CompleteOptions, DeleteOptions, ETag, ErrorKind, ObjectKey, PartOptions, RetrieveOptions, Retry,
        SaveOptions, WriteCondition,
    };
    use storage_tests::fixture::{Chunking, Content};
    use storage_tests::proxy::{Exchange, Rule};

    use crate::{behind_proxy, is_part, key};

    const SMALL: Content = Content::new(1, 10);

    #[tokio::test]
    async fn an_archived_object_is_told_as_one() {
        let (proxy, backend) = behind_proxy(|settings| settings).await;
        backend.save(&key("a"), SMALL.body(Chunking::Buffer), SaveOptions::default()).await.expect("saved");
        let xml = "<Error><Code>InvalidObjectState</Code><Message>The operation is not valid for the \
                   object's storage class</Message></Error>";
        let archived = proxy.add(Rule::on(|request| request.method == "GET").answer(403, xml));
        let answer = backend.retrieve(&key("a"), RetrieveOptions::default()).await;
        let error = answer.expect_err("it must be restored first");
        assert_eq!((error.kind(), error.retry()), (ErrorKind::ObjectArchived, Retry::Never));
        assert!(error.report().contains("restore"), "it says what to do: {}", error.report());
        assert_eq!(archived.fired(), 1, "asking again would not bring it back");
    }

    #[tokio::test]
    async fn a_part_with_a_number_too_high_is_refused_before_it_is_sent() {
        let (proxy, backend) = behind_proxy(|settings| settings).await;
        let upload = backend.begin_multipart(&key("a"), SaveOptions::default()).await.expect("begun");
        proxy.forget();
        for number in [0, 10_001] {
            let body = SMALL.body(Chunking::Buffer);
            let sent = backend.upload_part(&key("a"), &upload, number, body, PartOptions::default()).await;
            assert_eq!(sent.expect_err("no such part").kind(), ErrorKind::InvalidArgument, "{number}");
        }
        assert!(proxy.exchanges().is_empty(), "{:?}", proxy.exchanges());
    }

    #[tokio::test]
    async fn a_server_that_takes_fewer_parts_ends_the_save_and_its_upload() {
        let (proxy, backend) = behind_proxy(|settings| settings).await;
        let xml = "<Error><Code>InvalidArgument</Code><Message>Part number must be an integer between 1 and 2, \
                   inclusive</Message></Error>";
        let is_third = |request: &storage_tests::proxy::Request| {
            is_part(request) && request.query("partNumber").as_deref() == Some("3")
        };
        let third = proxy.add(Rule::on(is_third).answer(400, xml));
        let body = Content::new(3, 30 << 20).body(Chunking::Undeclared);
        let error = backend.save(&key("a"), body, SaveOptions::default()).await.expect_err("too many parts");
        assert_eq!((error.kind(), error.retry()), (ErrorKind::InvalidArgument, Retry::Never));
        assert!(error.report().contains("between 1 and 2"), "the server's words: {}", error.report());
        assert_eq!(third.fired(), 1, "it is not sent again");
        let abort =
            |seen: &Exchange| seen.request.method == "DELETE" && seen.request.query("uploadId").is_some();
        proxy.seen(abort).await;
        assert!(!backend.exists(&key("a")).await.expect("answered"));
    }

    /// The last request that writes, completes or deletes.
    fn last(exchanges: &[Exchange], method: &str) -> (Option<String>, Option<String>) {
        let found =
            exchanges.iter().rev().find(|seen| seen.request.method == method && !is_part(&seen.request));
        let request = &found.expect("it was asked for").request;
        let header = |name: &str| request.header(name).map(str::to_owned);
        (header("if-match"), header("if-none-match"))
    }

    #[tokio::test]
    async fn conditions_are_asked_of_the_server() {
        let (proxy, backend) = behind_proxy(|settings| settings).await;
        let object: ObjectKey = key("a");
        let other = ETag::new("0123456789abcdef0123456789abcdef");
        let quoted = format!("\"{other}\"");
        for (condition, expected, refusal) in [
            (
                WriteCondition::IfMatch(other.clone()),
                (Some(quoted.clone()), None),
                ErrorKind::PreconditionFailed,
            ),
            (WriteCondition::IfAbsent, (None, Some("*".to_owned())), ErrorKind::AlreadyExists),
        ] {
            // The second time there is something under the key.
            let options = SaveOptions { condition: condition.clone(), ..SaveOptions::default() };
            let saved = backend.save(&object, SMALL.body(Chunking::Buffer), options.clone()).await;
            assert_eq!(last(&proxy.exchanges(), "PUT"), expected, "{condition:?}");
            assert_eq!(saved.is_ok(), condition == WriteCondition::IfAbsent, "{condition:?}: {saved:?}");
            let large = Content::new(3, 30 << 20).body(Chunking::Undeclared);
            let saved = backend.save(&object, large, options).await;
            assert_eq!(saved.expect_err("it does not hold").kind(), refusal, "{condition:?}");
            assert_eq!(last(&proxy.exchanges(), "POST"), expected, "{condition:?}: of parts");
        }
        let upload = backend.begin_multipart(&object, SaveOptions::default()).await.expect("begun");
        let body = SMALL.body(Chunking::Buffer);
        let part =
            backend.upload_part(&object, &upload, 1, body, PartOptions::default()).await.expect("sent");
        let options = CompleteOptions { condition: WriteCondition::IfAbsent, ..CompleteOptions::default() };
        let completed = backend.complete_multipart(&object, &upload, vec![part], options).await;
        assert_eq!(completed.expect_err("it is there").kind(), ErrorKind::AlreadyExists);
        assert_eq!(last(&proxy.exchanges(), "POST"), (None, Some("*".to_owned())), "of the caller's parts");
        let tag = backend.get_metadata(&object, Default::default()).await.expect("described").etag;
        let tag = tag.expect("a tag");
        let options = DeleteOptions { if_match: Some(tag.clone()), ..DeleteOptions::default() };
        backend.delete(&object, options).await.expect("deleted");
        assert_eq!(last(&proxy.exchanges(), "DELETE"), (Some(format!("\"{tag}\"")), None));
    }
}
