//! What the servers that stand in for Amazon S3 do otherwise than Amazon.

use crate::waiver::Waiver;

const fn waived(trial: &'static str, reason: &'static str) -> Waiver {
    Waiver { trial, reason }
}

/// What SeaweedFS does otherwise than Amazon.
pub(crate) const SEAWEEDFS: &[Waiver] = &[
    waived("keys::a_key_with_a_backslash_is_an_object", "SeaweedFS: a backslash is taken for a slash"),
    waived("keys::a_backslash_makes_two_objects", "SeaweedFS: a backslash is taken for a slash"),
    waived("keys::a_key_with_a_temporary_name_is_an_object", "SeaweedFS: names of its own are refused"),
    waived(
        "list::pages_of_one_give_each_key_once",
        "SeaweedFS: keys are listed by folder, not in byte order",
    ),
    waived(
        "list::pages_of_two_give_each_key_once",
        "SeaweedFS: keys are listed by folder, not in byte order",
    ),
    waived(
        "list::pages_of_seven_give_each_key_once",
        "SeaweedFS: keys are listed by folder, not in byte order",
    ),
    waived(
        "list::start_after_a_key_leaves_it_out",
        "SeaweedFS: keys are listed by folder, not in byte order",
    ),
    waived(
        "list::start_after_a_text_that_is_no_key",
        "SeaweedFS: keys are listed by folder, not in byte order",
    ),
    waived(
        "list::start_after_holds_on_every_page",
        "SeaweedFS: keys are listed by folder, not in byte order",
    ),
    waived(
        "list::groups_are_given_once_over_all_pages",
        "SeaweedFS: keys are listed by folder, not in byte order",
    ),
    waived("list::groups_start_after_a_key", "SeaweedFS: keys are listed by folder, not in byte order"),
    waived(
        "versions::versions_are_listed_in_pages",
        "SeaweedFS: keys are listed by folder, not in byte order",
    ),
    waived("multipart::a_part_sent_again_replaces_the_former", "SeaweedFS: both are listed"),
    waived("multipart_faults::the_tag_of_a_replaced_part_is_refused", "SeaweedFS: the former part is kept"),
    waived("multipart::uploads_are_listed_in_pages", "SeaweedFS: a second page of uploads is never given"),
    waived("multipart::odd_keys_take_uploads", "SeaweedFS: a backslash is taken for a slash"),
];

/// The races that requests lose within SeaweedFS now and then.
pub(crate) const SEAWEEDFS_RACES: &[Waiver] = &[
    waived(
        "concurrency::of_many_uploads_if_absent_exactly_one_wins",
        "SeaweedFS: the condition of a completion is looked at beforehand",
    ),
    waived(
        "concurrency::of_many_deletes_if_match_exactly_one_wins",
        "SeaweedFS: the condition of a delete is looked at beforehand",
    ),
    waived(
        "concurrency::of_many_completions_exactly_one_wins",
        "SeaweedFS: an upload that is completed again meanwhile answers with the object that it became",
    ),
    waived(
        "multipart_faults::a_wrong_digest_of_a_part_is_not_ignored",
        "SeaweedFS: of a part that was sent twice, both are listed, in any order",
    ),
    waived("multipart::uploads_are_listed_by_key_and_start", "SeaweedFS: uploads are listed in no order"),
];

/// What ministack does otherwise than Amazon.
pub(crate) const MINISTACK: &[Waiver] = &[
    waived("metadata::tags_come_back", "ministack: an overwrite keeps the tags"),
    waived(
        "multipart::tags_of_the_begin_are_those_of_the_object",
        "ministack: an upload in parts loses its tags",
    ),
    waived(
        "list::groups_start_after_a_key",
        "ministack: a group is left out whole where the start lies within it",
    ),
];

/// What directory buckets do otherwise than the contract has it.
pub(crate) const EXPRESS: &[Waiver] = &[
    waived(
        "multipart::numbers_may_have_gaps",
        "directory buckets: parts are numbered from 1 on without a gap",
    ),
    waived(
        "multipart::parts_that_are_not_named_are_dropped",
        "directory buckets: parts are numbered from 1 on without a gap",
    ),
    waived(
        "multipart::two_uploads_of_a_key_do_not_touch",
        "directory buckets: parts are numbered from 1 on without a gap",
    ),
    waived(
        "multipart::parts_are_listed_by_number",
        "directory buckets: parts are numbered from 1 on without a gap",
    ),
];

/// The races that requests lose within ministack now and then.
pub(crate) const MINISTACK_RACES: &[Waiver] = &[
    COMPLETIONS_RACE,
    waived(
        "multipart::uploads_are_listed_by_key_and_start",
        "ministack: the uploads of one key that begin in different seconds are listed by their names",
    ),
];

/// The same of the directory buckets that are made of its own; there the plugin puts uploads in order.
pub(crate) const EXPRESS_RACES: &[Waiver] = &[COMPLETIONS_RACE];

const COMPLETIONS_RACE: Waiver = waived(
    "concurrency::of_many_completions_exactly_one_wins",
    "ministack: an upload is looked up before it is completed, by each of them",
);
