use super::*;
use serde_json::json;

const TEXT: &str = r#"
dataset = "d"
seeds = [0, 1]
rest_decay = 5e-4
[task]
model = { resnet = { depth = 8 } }
[train]
epochs = 3
batch = 4
[optimizer]
name = "sgd"
lr = 0.1
[schedule]
name = "cosine"
[[method]]
name = "none"
[[method]]
name = "weight-decay"
decay = 1e-3
search = { "method.decay" = [1e-4, 1e-3, 1e-2], "optimizer.lr" = [0.1, 0.2] }
[quick]
seeds = [0]
train.epochs = 1
task.model.resnet.width = 4
"#;

fn config(text: &str) -> Result<Config, ConfigError> {
    Config::parse(Path::new("c.toml"), text.into())
}

#[test]
fn the_grid_has_every_combination_once() {
    let Grid { points, seeds, tuning } = config(TEXT).unwrap().grid(&Selection::default()).unwrap();
    assert_eq!(points.len(), 1 + 3 * 2);
    assert_eq!((seeds, tuning.seeds.as_deref(), tuning.unequal), (vec![0, 1], Some(&[100, 101][..]), false));
    assert!(points.iter().all(|p| p.spec.task["model"]["resnet"].get("width").is_none()));
    let decays: Vec<_> = points.iter().filter_map(|p| p.spec.method.get("decay")?.as_f64()).collect();
    assert_eq!(decays.iter().filter(|d| **d == 1e-4).count(), 2);
    assert!(points.iter().all(|p| !p.spec.method.contains_key("search")));
}

#[test]
fn quick_merges_and_searches_nothing() {
    let selection = Selection { quick: true, ..Selection::default() };
    let Grid { points, seeds, .. } = config(TEXT).unwrap().grid(&selection).unwrap();
    assert_eq!((points.len(), seeds), (2, vec![0]));
    assert_eq!(points[1].spec.train, *json!({"epochs": 1, "batch": 4}).as_object().unwrap());
    assert_eq!(points[1].spec.task["model"], json!({"resnet": {"depth": 8, "width": 4}}));
    assert_eq!(points[1].spec.method["decay"], 1e-3);
}

#[test]
fn selections_narrow_and_change() {
    let config = config(TEXT).unwrap();
    let selection = Selection {
        methods: vec!["weight-decay".into()],
        seeds: Some(vec![7]),
        set: vec![("optimizer.lr".into(), json!(0.5)), ("task.model.resnet.depth".into(), json!(14))],
        ..Selection::default()
    };
    let Grid { points, seeds, tuning } = config.grid(&selection).unwrap();
    assert_eq!((points.len(), seeds), (3, vec![7]));
    assert_eq!(tuning.seeds, Some(vec![100, 101]), "trials stay comparable with those that were made before");
    assert!(tuning.unequal, "what is set is searched for no method");
    assert!(points.iter().all(|p| p.spec.optimizer["lr"] == 0.5));
    assert_eq!(points[0].spec.task["model"]["resnet"]["depth"], 14);
}

#[test]
fn mistakes_say_where_they_are() {
    let message = |text: &str| config(text).unwrap_err().to_string();
    assert!(message("dataset = 3").contains("line 1"), "{}", message("dataset = 3"));
    assert!(message(&TEXT.replace("rest_decay", "restdecay")).contains("unknown field `restdecay`"));
    assert!(
        message(&TEXT.replace("seeds = [0, 1]", "seeds = []"))
            .contains("line 3: `seeds`: expected at least one entry, found none")
    );
    let infinite = message(&TEXT.replace("lr = 0.1", "lr = nan"));
    assert_eq!(infinite, "c.toml: line 12: `lr`: expected a finite number, found nan");
    let grid = |text: &str| config(text).unwrap().grid(&Selection::default()).unwrap_err().to_string();
    assert!(
        grid(&TEXT.replace("\"optimizer.lr\"", "\"optimiser.lr\""))
            .starts_with("c.toml: line 20: `optimiser.lr`: expected dataset, rest_decay, or a key in task, ")
    );
    assert!(
        grid(&TEXT.replace("[0.1, 0.2]", "0.1"))
            .contains("`search`: expected for each key a list of values, or a range")
    );
    assert!(message(&TEXT.replace("seeds = [0]", "seeds = []")).contains("line 22: `seeds`: expected at least one"));
    let tuning = |tuning: &str| message(&TEXT.replace("[train]", &format!("[tuning]\n{tuning}\n[train]")));
    assert!(tuning("seeds = []").contains("line 8: `seeds`: expected at least one entry"));
    assert!(tuning("trial = 3").contains("unknown field `trial`"));
    let both = "expected seeds of the search, `seeds` in `[tuning]`, that are no seeds of the result, found 1 in both";
    assert!(tuning("seeds = [5, 1]").contains(both) && tuning("seeds = [5, 1]").contains("line 8"));
    assert!(tuning("margin = 0.0").contains("line 8: `margin`: expected a number above 0, found 0"));
    assert!(tuning("finalists = 0").contains("line 8: `finalists`: expected at least one, found 0"));
    let halving = "halving = [{ epochs = 1, keep = 2 }, { epochs = 2, keep = 2 }]";
    let problem = "line 8: `halving`: expected more epochs than 1 and fewer trials to keep than 2, found { epochs = 2, keep = 2 }";
    assert!(tuning(halving).contains(problem), "{}", tuning(halving));
    let trials = grid(&TEXT.replace("[train]", "[tuning]\ntrials = 4\n[train]"));
    assert!(trials.contains("expected 4 settings, as `trials` in `[tuning]` says, found 1"), "{trials}");
    let select = |selection: Selection| config(TEXT).unwrap().grid(&selection).unwrap_err().to_string();
    let wanted = Selection { methods: vec!["weight-decy".into()], ..Selection::default() };
    assert!(select(wanted).contains("did you mean `weight-decay`?"));
    let searched = config(&TEXT.replace("[train]", "[tuning]\nseeds = [5]\n[train]")).unwrap();
    let seeds = Selection { seeds: Some(vec![4, 5]), ..Selection::default() };
    assert!(searched.grid(&seeds).unwrap_err().to_string().contains("found 5 in both"));
    let key = Selection { set: vec![("optimizer".into(), json!(1))], ..Selection::default() };
    assert!(select(key).contains("found the table itself"));
    let nan = Selection { set: vec![("optimizer.lr".into(), Value::Null)], ..Selection::default() };
    assert_eq!(select(nan), "`optimizer.lr`: expected a finite number, found none");
    let config = config(TEXT).unwrap();
    let locate = |section, method, key| config.locate(section, method, &Selection::default(), key);
    assert_eq!(locate("method", 1, Some("decay")), "c.toml:20", "where it is searched");
    assert_eq!(locate("method", 0, None), "c.toml:15");
    assert_eq!(locate("optimizer", 0, Some("lr")), "c.toml:12");
    assert_eq!(locate("task", 0, Some("model.resnet.depth")), "c.toml:6");
    assert_eq!(locate("dataset", 0, None), "c.toml:2");
    let quick = Selection { quick: true, ..Selection::default() };
    assert_eq!(config.locate("method", 1, &quick, Some("decay")), "c.toml:19");
    assert_eq!(config.locate("train", 1, &quick, Some("epochs")), "c.toml:23");
    let set = Selection { set: vec![("optimizer.lr".into(), json!("fast"))], ..Selection::default() };
    assert_eq!(config.locate("optimizer", 1, &set, Some("lr")), "--set optimizer.lr");
}

#[test]
fn ranges_are_drawn() {
    let text = TEXT
        .replace(
            "search = { \"method.decay\" = [1e-4, 1e-3, 1e-2], \"optimizer.lr\" = [0.1, 0.2] }",
            "search = { \"method.decay\" = { log = [1e-5, 1e-1] }, \"optimizer.lr\" = { log = [0.01, 1.0] } }",
        )
        .replace("name = \"none\"", "name = \"none\"\nsearch = { \"optimizer.lr\" = { log = [0.01, 1.0] } }")
        .replace("[train]", "[tuning]\ntrials = 4\n[train]");
    let points = config(&text).unwrap().grid(&Selection::default()).unwrap().points;
    let rates: Vec<&Value> = points.iter().map(|point| &point.spec.optimizer["lr"]).collect();
    assert_eq!(rates.len(), 8);
    assert_eq!(rates[..4], rates[4..], "methods try the same rates");
    let only = Selection { methods: vec!["none".into()], ..Selection::default() };
    let alone = config(&text).unwrap().grid(&only).unwrap().points;
    assert_eq!(alone, points[..4], "what is drawn does not depend on what else is selected");
    let missing = config(&text.replace("trials = 4", "")).unwrap().grid(&Selection::default()).unwrap_err();
    assert!(missing.to_string().contains("`optimizer.lr`: expected a list, or `trials` in `[tuning]` beside it"));
}

#[test]
fn a_learning_rate_may_be_matched() {
    let with = |method: &str| config(&TEXT.replace("[quick]", &format!("[[method]]\n{method}\n[quick]"))).unwrap();
    let points = |method: &str| with(method).grid(&Selection::default());
    let grid = points("name = \"wrs\"\noptimizer.lr = \"matched\"").unwrap();
    let matched: Vec<&GridPoint> = grid.points.iter().filter(|point| point.matched).collect();
    assert_eq!((grid.points.len(), matched.len()), (8, 1));
    assert!(matched[0].spec.optimizer["lr"].is_f64() && matched[0].spec.method["name"] == "wrs");
    for method in
        ["name = \"none\"", "name = \"wrs\"\ntarget = \"init\"", "name = \"wrs\"\nsearch = { \"method.a\" = [1] }"]
    {
        let error = points(&format!("{method}\noptimizer.lr = \"matched\"")).unwrap_err().to_string();
        assert!(error.contains("line 21: expected `wrs` with filters of norm 1"), "{error}");
    }
}

const OPTIMIZERS: &str = r#"
dataset = "d"
seeds = [0]
rest_decay = 5e-4
task = {}
train = {}
schedule = {}
[optimizer]
name = "sgd"
lr = 0.1
momentum = 0.9
[[method]]
name = "none"
[[method]]
name = "none"
optimizer = { lr = 0.2 }
[[method]]
name = "none"
[method.optimizer]
name = "sgd"
nesterov = true
[[method]]
name = "none"
optimizer = { name = "adam", lr = 1e-3 }
search = { "optimizer.lr" = [1e-3, 3e-3] }
[quick]
optimizer.lr = 0.5
"#;

#[test]
fn a_method_may_have_an_optimizer_of_its_own() {
    let optimizers = |text: &str, selection: Selection| -> Vec<Value> {
        let points = config(text).unwrap().grid(&selection).unwrap().points;
        assert!(points.iter().all(|point| point.spec.method == *json!({"name": "none"}).as_object().unwrap()));
        points.into_iter().map(|point| point.spec.optimizer.into()).collect()
    };
    let sgd = |lr: f64| json!({"name": "sgd", "lr": lr, "momentum": 0.9});
    let adam = |lr: f64| json!({"name": "adam", "lr": lr});
    let nesterov = |lr: f64| json!({"name": "sgd", "lr": lr, "momentum": 0.9, "nesterov": true});
    assert_eq!(
        optimizers(OPTIMIZERS, Selection::default()),
        [sgd(0.1), sgd(0.2), nesterov(0.1), adam(1e-3), adam(3e-3)]
    );
    let quick = || Selection { quick: true, ..Selection::default() };
    assert_eq!(optimizers(OPTIMIZERS, quick()), [sgd(0.5), sgd(0.5), nesterov(0.5), adam(1e-3)]);
    let of_adam = OPTIMIZERS.replace("optimizer.lr = 0.5", "optimizer = { name = \"adam\", lr = 0.5 }");
    assert_eq!(optimizers(&of_adam, quick()), [sgd(0.1), sgd(0.2), nesterov(0.1), adam(0.5)]);
    let set = Selection { set: vec![("optimizer.lr".into(), json!(7.0))], ..quick() };
    assert_eq!(optimizers(OPTIMIZERS, set.clone()), [sgd(7.0), sgd(7.0), nesterov(7.0), adam(7.0)]);
    let set = Selection { quick: false, ..set };
    assert_eq!(optimizers(OPTIMIZERS, set), [sgd(7.0), sgd(7.0), nesterov(7.0), adam(7.0)]);
}

#[test]
fn mistakes_in_the_optimizer_of_a_method_say_where_they_are() {
    let config = |text: &str| config(text).unwrap();
    let locate = |method, key| config(OPTIMIZERS).locate("optimizer", method, &Selection::default(), key);
    assert_eq!(locate(0, Some("lr")), "c.toml:10");
    assert_eq!(locate(1, Some("lr")), "c.toml:16", "the key is the method's");
    assert_eq!(locate(1, Some("momentum")), "c.toml:11", "the key is that of all");
    assert_eq!(locate(1, None), "c.toml:8");
    assert_eq!(locate(2, Some("nesterov")), "c.toml:21");
    assert_eq!(locate(2, Some("momentum")), "c.toml:11");
    assert_eq!(locate(3, Some("lr")), "c.toml:25", "the search replaces the key");
    assert_eq!(locate(3, Some("name")), "c.toml:24");
    assert_eq!(locate(3, Some("momentum")), "c.toml:24", "another optimizer's key is not at fault");
    let quick = Selection { quick: true, ..Selection::default() };
    assert_eq!(config(OPTIMIZERS).locate("optimizer", 1, &quick, Some("lr")), "c.toml:27");
    assert_eq!(config(OPTIMIZERS).locate("optimizer", 3, &quick, Some("lr")), "c.toml:24");

    let grid = |text: &str, selection: &Selection| config(text).grid(selection).unwrap_err().to_string();
    let text = OPTIMIZERS.replace("{ lr = 0.2 }", "0.2");
    let expected = "c.toml: line 16: `optimizer`: expected a table, such as { lr = 0.1 }, found 0.2";
    assert_eq!(grid(&text, &Selection::default()), expected);
    let text = OPTIMIZERS.replace("optimizer.lr = 0.5", "optimizer.name = \"nero\"");
    assert!(
        grid(&text, &quick)
            .starts_with("c.toml: line 27: `optimizer`: expected an optimizer that a method uses, found \"nero\"")
    );
    let set = Selection { set: vec![("method.optimizer.lr".into(), json!(1))], ..Selection::default() };
    assert!(grid(OPTIMIZERS, &set).contains("a method's optimizer is set as optimizer.lr"));
}
