//! What SeaweedFS and JuiceFS do otherwise than MinIO, as far as trials of the suite see it.

use crate::waiver::Waiver;

const SLASH: &str = "SeaweedFS takes a backslash for a slash, so that the plugin refuses such keys";
const OWN: &str =
    "SeaweedFS lists nothing in folders named .uploads and *.versions, so that the plugin refuses them";
const ORDER: &str = "SeaweedFS lists versions folder by folder and not in the order of bytes";

const BELOW: &str = "JuiceFS keeps objects as files, so that there is none below another";
const HEADERS: &str = "JuiceFS forgets Content-Encoding and Content-Language";
const PREFIX: &str = "MinIO counts the prefix x-amz-meta- of each name against the 2 KiB of metadata";
const WALK: &str = "JuiceFS goes on with a listing that it read ahead, deleted keys included";
const UPLOAD: &str = "JuiceFS takes parts of an upload under any key";

const fn waived(trial: &'static str, reason: &'static str) -> Waiver {
    Waiver { trial, reason }
}

/// The trials of `minio_seaweedfs`.
pub(crate) const SEAWEEDFS: &[Waiver] = &[
    waived("keys::a_key_with_a_backslash_is_an_object", SLASH),
    waived("keys::a_key_with_a_temporary_name_is_an_object", OWN),
    waived("keys::a_backslash_makes_two_objects", SLASH),
    waived("copy::a_copy_between_odd_keys", SLASH),
    waived("multipart::odd_keys_take_uploads", SLASH),
    waived("versions::versions_are_listed_in_pages", ORDER),
    waived("presign::a_url_to_read_reaches_odd_keys", SLASH),
    waived("presign::a_url_to_write_reaches_odd_keys", SLASH),
];

/// The trials of `minio_juicefs`.
pub(crate) const JUICEFS: &[Waiver] = &[
    waived("copy::a_copy_below_its_source", BELOW),
    waived("copy::a_copy_keeps_the_attributes", HEADERS),
    waived("delete::a_delete_leaves_the_neighbours", BELOW),
    waived("keys::a_key_comes_above_those_that_are_there", BELOW),
    waived("keys::a_key_goes_and_those_below_it_stay", BELOW),
    waived("keys::a_key_may_be_the_start_of_another", BELOW),
    waived("list::a_foreign_page_token_is_refused", BELOW),
    waived("list::a_limit_of_zero_is_refused", BELOW),
    waived("list::a_page_token_with_start_after_is_refused", BELOW),
    waived("list::a_prefix_is_not_folded_or_normalised", BELOW),
    waived("list::a_prefix_need_not_end_at_a_slash", BELOW),
    waived("list::a_prefix_of_no_key_is_an_empty_page", BELOW),
    waived("list::a_prefix_that_ends_at_a_slash_is_a_folder", BELOW),
    waived("list::a_prefix_that_is_a_key_finds_it", BELOW),
    waived("list::a_walk_goes_on_where_keys_went", WALK),
    waived("list::groups_below_a_folder", BELOW),
    waived("list::groups_of_a_prefix_that_ends_within_a_name", BELOW),
    waived("list::groups_stand_for_what_is_below_them", BELOW),
    waived("list::groups_start_after_a_key", BELOW),
    waived("list::keys_come_in_byte_order", BELOW),
    waived("list::pages_of_one_give_each_key_once", BELOW),
    waived("list::pages_of_seven_give_each_key_once", BELOW),
    waived("list::pages_of_two_give_each_key_once", BELOW),
    waived("list::start_after_a_key_leaves_it_out", BELOW),
    waived("list::start_after_a_text_that_is_no_key", BELOW),
    waived("list::start_after_before_the_prefix_changes_nothing", BELOW),
    waived("list::start_after_holds_on_every_page", BELOW),
    waived("metadata::as_much_metadata_as_is_allowed_comes_back", PREFIX),
    waived("metadata::every_header_comes_back", HEADERS),
    waived("multipart_faults::an_upload_of_another_key_is_not_found", UPLOAD),
];

/// The trials of `minio_juicefs` that fail now and then.
pub(crate) const JUICEFS_RACES: &[Waiver] = &[
    waived(
        "concurrency::a_reader_sees_the_old_or_the_new_whole",
        "JuiceFS gives a reader beside a writer some bytes of the old content and some of the new",
    ),
    waived(
        "concurrency::a_reader_beside_deletes_sees_all_or_nothing",
        "JuiceFS takes the bytes away from a reader when the object is deleted",
    ),
    waived(
        "concurrency::an_abort_beside_a_completion_is_one_or_the_other",
        "JuiceFS aborts part by part: a completion meanwhile misses one, and says that the part is wrong",
    ),
];
