//! Whole sets: what is fetched, what is written, and what is left alone.

use data::Root;
use files::{Part, write_atomic};
use hub::{Progress, State, Token, overview};

use crate::project::{Project, TEST, TRAIN, bytes};

#[test]
fn a_first_fetch_pins_what_it_found() {
    let project = Project::new();
    assert_eq!(project.fetch().unwrap(), project.path("datasets/.cache/pets/default"));
    project.assert_complete();
    insta::assert_snapshot!("lock", project.tidy(&project.read("datasets/pets.lock")));
    let count = |what: &str| project.hub.requests().iter().filter(|request| request.what == what).count();
    // The list has two pages; a file is asked for its digest, for its bytes, and elsewhere for its bytes.
    assert_eq!((count("revision"), count("tree"), count(TRAIN), count("README.md")), (1, 2, 3, 0));
}

#[test]
fn what_is_pinned_needs_no_questions() {
    let project = Project::new().pin();
    project.fetch().unwrap();
    project.assert_complete();
    assert!(project.hub.requests().iter().all(|request| request.method == "GET" && request.what.starts_with("data/")));
    assert!(!project.path("datasets/pets.lock").exists());
}

#[test]
fn a_lock_is_followed_and_not_written_again() {
    let project = Project::new();
    project.fetch().unwrap();
    let lock = project.read("datasets/pets.lock");
    std::fs::remove_file(project.local(TRAIN)).unwrap();
    let asked = project.hub.requests().len();
    project.fetch().unwrap();
    project.assert_complete();
    let targets: Vec<String> = project.hub.requests().into_iter().skip(asked).map(|request| request.what).collect();
    assert_eq!(targets, [TRAIN, TRAIN]);
    assert_eq!(project.read("datasets/pets.lock"), lock);
}

#[test]
fn a_manifest_that_names_files_without_digests_is_completed() {
    let project = Project::new();
    let manifest = project.read("datasets/pets.toml");
    let files = format!(
        "{manifest}\n[[files]]\npath = \"train/a.parquet\"\nsource = \"{TRAIN}\"\nrows = 7\n\
         \n[[files]]\npath = \"test/b.parquet\"\nsource = \"{TEST}\"\nsize = 1000\n"
    );
    project.write("datasets/pets.toml", &files);
    project.fetch().unwrap();
    assert_eq!(project.downloads(), ["test/b.parquet", "train/a.parquet"]);
    insta::assert_snapshot!("lock_of_named_files", project.tidy(&project.read("datasets/pets.lock")));
}

#[test]
fn a_damaged_file_is_replaced_and_the_others_are_left_alone() {
    let project = Project::new();
    project.fetch().unwrap();
    let mut damaged = project.bytes(TRAIN).to_vec();
    damaged[77] ^= 1;
    write_atomic(&project.local(TRAIN), &damaged).unwrap();
    project.fetch().unwrap();
    project.assert_complete();
    assert_eq!((project.hub.ranges(TRAIN), project.hub.ranges(TEST)), (vec![0, 0], vec![0]));
    let asked = project.hub.requests().len();
    project.fetch().unwrap();
    assert_eq!(project.hub.requests().len(), asked, "a complete set is fetched again");
}

#[test]
fn names_with_any_characters_arrive() {
    let odd = "data/train #1 é 100%?&=+.parquet";
    let project = Project::with(&[(odd, bytes(5000)), (TEST, bytes(10))], None);
    project.fetch().unwrap();
    project.assert_complete();
}

#[test]
fn a_token_opens_a_gated_set_and_goes_nowhere_else() {
    let project = Project::with(&[(TRAIN, bytes(5000)), (TEST, bytes(10))], Some("hf_secret"));
    let token = Some(Token::new("hf_secret", "HF_TOKEN").unwrap());
    project.fetch_with(&hub::Settings { token, ..project.settings() }).unwrap();
    project.assert_complete();
    for request in project.hub.requests() {
        let elsewhere = request.target.starts_with("/bytes/");
        assert_eq!(request.authorization.is_some(), !elsewhere, "{request:?}");
    }
}

#[test]
fn python_s_cache_is_used_where_it_is_right() {
    let project = Project::new().pin();
    let commit = project.hub.commit("owner/pets");
    let snapshot = project.path(&format!("cache/hub/datasets--owner--pets/snapshots/{commit}"));
    write_atomic(&snapshot.join(TRAIN), project.bytes(TRAIN)).unwrap();
    let mut damaged = project.bytes(TEST).to_vec();
    damaged[0] ^= 1;
    write_atomic(&snapshot.join(TEST), &damaged).unwrap();
    // What was fetched is not given up for a file that is damaged.
    Part::open(&project.local(TEST)).unwrap().append(&project.bytes(TEST)[..500]).unwrap();
    project.fetch().unwrap();
    project.assert_complete();
    assert_eq!((project.hub.ranges(TRAIN), project.hub.ranges(TEST)), (vec![], vec![500]));
}

#[test]
fn nothing_is_connected_to_where_that_is_not_wanted() {
    let project = Project::new().pin();
    let offline = hub::Settings { offline: true, ..project.settings() };
    let commit = project.hub.commit("owner/pets");
    let snapshot = project.path(&format!("cache/hub/datasets--owner--pets/snapshots/{commit}"));
    write_atomic(&snapshot.join(TRAIN), project.bytes(TRAIN)).unwrap();
    insta::assert_snapshot!("offline", project.tidy(&project.fetch_with(&offline).unwrap_err().to_string()));
    project.assert_nothing_visible();
    for source in [TEST, "data/train-1.parquet"] {
        write_atomic(&snapshot.join(source), project.bytes(source)).unwrap();
    }
    project.fetch_with(&offline).unwrap();
    project.assert_complete();
    assert!(project.hub.requests().is_empty());
}

#[test]
fn a_list_that_is_not_known_cannot_be_had_offline() {
    let project = Project::new();
    let offline = hub::Settings { offline: true, ..project.settings() };
    let error = project.fetch_with(&offline).unwrap_err().to_string();
    assert!(error.contains("the list of files of data set owner/pets"), "{error}");
    project.fetch().unwrap();
    let asked = project.hub.requests().len();
    project.fetch_with(&offline).unwrap();
    assert_eq!(project.hub.requests().len(), asked, "a set that is here needs no connection");
}

#[test]
fn sets_that_are_elsewhere_already_are_left_alone() {
    let project = Project::new();
    let embedded = project.path("datasets/pets/default");
    write_atomic(&embedded.join("train/0.parquet"), b"mine").unwrap();
    assert_eq!(project.fetch().unwrap(), embedded);
    let external = Root { external: Some(project.path("disk")), ..project.root() };
    write_atomic(&project.path("disk/pets/default/train/0.parquet"), b"mine too").unwrap();
    let found = hub::fetch(&external, "pets", &project.settings(), &Progress::hidden()).unwrap();
    assert_eq!(found, project.path("disk/pets/default"));
    assert!(project.hub.requests().is_empty());
    assert_eq!(overview(&external).unwrap()[0].state, State::External);
    assert_eq!(overview(&project.root()).unwrap()[0].state, State::Embedded);
}

#[test]
fn states_follow_a_set_through_a_fetch() {
    let project = Project::new().pin();
    let state = |project: &Project| overview(&project.root()).unwrap()[0].state;
    assert_eq!(state(&project), State::Missing);
    Part::open(&project.local(TRAIN)).unwrap().append(b"a").unwrap();
    assert_eq!(state(&project), State::Partly);
    project.fetch().unwrap();
    assert_eq!(state(&project), State::Here);
    assert_eq!(overview(&project.root()).unwrap()[0].size, Some(371_001));
    std::fs::remove_file(project.local(TEST)).unwrap();
    assert_eq!(state(&project), State::Partly);
}

#[test]
fn a_derived_set_is_fetched_with_what_it_is_made_of() {
    let project = Project::new();
    let scenes = r#"title = "Scenes"
licence = "MIT"
citation = "nobody"
home = "https://example.org"

[scenes]
from = "pets"
classes = [{ name = "animal", of = ["cat", "dog"] }]
size = [64, 64]
objects = [1, 2]
scale = [1.0, 1.0]
seed = 0
examples = { train = 1, validation = 1, test = 1 }
"#;
    write_atomic(&project.path("datasets/scenes.toml"), scenes.as_bytes()).unwrap();
    let overview = overview(&project.root()).unwrap();
    let found = overview.iter().find(|set| set.name == "scenes").unwrap();
    assert_eq!((found.state, found.size), (State::Derived, Some(0)));
    let fetch = |name: &str| hub::fetch(&project.root(), name, &project.settings(), &Progress::hidden());
    assert_eq!(fetch("scenes").unwrap(), project.path("datasets/.cache/pets/default"));
    project.assert_complete();
    let asked = project.hub.requests().len();
    fetch("scenes").unwrap();
    assert_eq!(project.hub.requests().len(), asked, "nothing is left to be fetched");

    write_atomic(&project.path("datasets/itself.toml"), scenes.replace("\"pets\"", "\"itself\"").as_bytes()).unwrap();
    let error = fetch("itself").unwrap_err().to_string();
    assert!(error.contains("\"itself\" cannot be fetched"), "{error}");
}
