//! Made-up records that look like those of a small comparison, for tests.

use record::{
    About, Entry, EpochRow, Headline, LayerRow, NormRow, Outcome, Provenance, Record, RunId, SCHEMA, Seconds, Spec,
    TestRecord, digest,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(crate) const EPOCHS: u64 = 30;
const STEPS_AN_EPOCH: u64 = 70;
const DIGEST: &str = "8d1fa07c2b6e4f5390a1c3d5e7f90b1d2c4e6f8091a3b5c7d9e0f2143657a9cb";

/// A setting to make a run of: optimizer, method, what it reaches, the norm it ends at, microseconds a step.
pub(crate) struct Made {
    pub(crate) optimizer: Value,
    pub(crate) method: Value,
    pub(crate) reaches: f64,
    pub(crate) norm: f64,
    pub(crate) micros: f64,
}

/// Three methods; weight decay over three strengths and two scopes, two seeds of the search, and three of the result. The
/// strongest decay of everything diverges with seed 11, and collapses filters with seed 10. Chosen settings have test records.
pub(crate) fn entries() -> Vec<Entry> {
    let mut entries = Vec::new();
    for made in made() {
        let strength = made.method.get("strength").and_then(Value::as_f64);
        let search: &[u64] = if strength.is_some() { &[10, 11] } else { &[] };
        let result: &[u64] = if strength.is_none_or(|strength| strength == 5e-4) { &[0, 1, 2] } else { &[] };
        entries.extend(search.iter().chain(result).map(|seed| entry(&made, *seed)));
    }
    for entry in &mut entries {
        let method = &entry.record.spec.method;
        if method.get("strength") != Some(&json!(5e-3)) || method["scope"] != "everything" {
            continue;
        }
        match entry.record.spec.seed {
            11 => diverge(entry),
            _ => entry.record.collapsed = Some(0.125),
        }
    }
    tested(entries, |entry| entry.record.spec.seed < 3)
}

/// Adds test records to the runs that are `chosen`.
pub(crate) fn tested(mut entries: Vec<Entry>, chosen: impl Fn(&Entry) -> bool) -> Vec<Entry> {
    for entry in entries.iter_mut().filter(|entry| chosen(entry)) {
        let record = &entry.record;
        let score = record.validation().unwrap() - 0.006 + 0.004 * noise(record.spec.seed, &record.weights);
        entry.test = Some(TestRecord {
            schema: SCHEMA,
            id: record.id.clone(),
            weights: record.weights.clone(),
            scores: BTreeMap::from([("top1".to_owned(), rounded(score, 1e4))]),
            provenance: Provenance {
                started: "2026-02-04T09:00:00Z".into(),
                ended: "2026-02-04T09:00:05Z".into(),
                ..record.provenance.clone()
            },
        });
    }
    entries
}

pub(crate) fn sgd() -> Value {
    json!({"name": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": false})
}

pub(crate) fn made() -> Vec<Made> {
    let mut made = vec![
        Made { optimizer: sgd(), method: json!({"name": "none"}), reaches: 0.866, norm: 3.1, micros: 0.0 },
        Made {
            optimizer: sgd(),
            method: json!({"name": "wrs", "granularity": "filter", "interval": 1, "state": "keep", "target": "unit"}),
            reaches: 0.8885,
            norm: 1.0,
            micros: 212.0,
        },
    ];
    for (scope, more) in [("everything", 0.0), ("scale-invariant", 0.0012)] {
        for (strength, reaches, norm) in [(1e-4, 0.874, 1.5), (5e-4, 0.8862, 0.7), (5e-3, 0.861, 0.28)] {
            made.push(Made {
                optimizer: sgd(),
                method: json!({"name": "weight-decay", "scope": scope, "strength": strength}),
                reaches: reaches + more,
                norm,
                micros: 31.0,
            });
        }
    }
    made
}

/// Methods under optimizers of two families, and three seeds; each setting is the only one of its row.
pub(crate) fn families() -> Vec<Entry> {
    let of = |name: &str, lr: f64| json!({"name": name, "lr": lr, "clip_norm": null, "betas": [0.9, 0.999]});
    let (sgdp, adam) = (of("sgdp", 0.1), of("adam", 1e-3));
    let none = || json!({"name": "none"});
    let decay = |scope: &str| json!({"name": "weight-decay", "scope": scope, "strength": 5e-4});
    let wrs = |granularity: &str, target: &str| json!({"name": "wrs", "granularity": granularity, "interval": null, "target": target});
    let rows = [
        (sgd(), none(), 0.866, 3.1),
        (sgd(), decay("everything"), 0.886, 0.7),
        (sgd(), decay("scale-invariant"), 0.888, 0.65),
        (sgd(), wrs("filter", "unit"), 0.8885, 1.0),
        (sgd(), wrs("layer", "unit"), 0.887, 1.1),
        (sgd(), json!({"name": "weight-standardization"}), 0.879, 2.6),
        (sgdp.clone(), none(), 0.87, 2.4),
        (sgdp, decay("everything"), 0.889, 0.8),
        (of("adamw", 1e-3), decay("everything"), 0.882, 0.9),
        (of("adamp", 1e-3), decay("everything"), 0.884, 0.95),
        (adam.clone(), wrs("filter", "unit"), 0.876, 1.0),
        (adam, wrs("filter", "rms-one"), 0.8845, 12.0),
    ];
    let made = rows.map(|(optimizer, method, reaches, norm)| Made { optimizer, method, reaches, norm, micros: 50.0 });
    tested(made.iter().flat_map(|made| (0..3).map(|seed| entry(made, seed))).collect(), |_| true)
}

pub(crate) fn spec(optimizer: &Value, method: &Value, seed: u64) -> Spec {
    serde_json::from_value(json!({
        "task": {"model": "resnet", "depth": 20, "width": 16}, "dataset": "fashion-mnist-small", "seed": seed,
        "train": {"epochs": EPOCHS, "batch": 128},
        "optimizer": optimizer,
        "schedule": {"name": "cosine", "warmup": 2.0},
        "method": method, "rest_decay": 5e-4
    }))
    .unwrap()
}

pub(crate) fn entry(made: &Made, seed: u64) -> Entry {
    let spec = spec(&made.optimizer, &made.method, seed);
    let id = RunId::new("classification", 1, DIGEST, &spec);
    let name = made.method["name"].as_str().unwrap();
    let (rate, strength) = (made.optimizer["lr"].as_f64().unwrap(), made.method["strength"].as_f64());
    let salt = id.as_str();
    let steps = EPOCHS * STEPS_AN_EPOCH;
    // Half of the noise is the seed's.
    let luck = 0.004 * noise(seed, "seed") + 0.003 * noise(seed, salt);
    let epochs = (0..EPOCHS).map(|epoch| {
        let t = (epoch + 1) as f64 / EPOCHS as f64;
        let wobble = 0.03 * (1.0 - t) * noise(epoch, salt);
        let top1 = (made.reaches + luck) * (1.0 - 0.35 * libm::exp(-6.0 * t)) - 0.05 * (1.0 - t) + wobble;
        let loss = 2.0 * libm::exp(-4.0 * t) + 0.1;
        EpochRow {
            epoch,
            step: (epoch + 1) * STEPS_AN_EPOCH,
            train_loss: 0.25 * loss,
            validation_loss: Some(loss + 0.1),
            validation: BTreeMap::from([("loss".to_owned(), loss + 0.1), ("top1".to_owned(), rounded(top1, 2e3))]),
        }
    });
    let norms = (0..=steps / 10).map(|i| {
        let step = i * 10;
        let t = step as f64 / steps as f64;
        let lr = rate * (t / 0.05).min(1.0) * (0.5 + 0.5 * libm::cos(std::f64::consts::PI * t)).max(1e-4);
        let start = if name == "wrs" { 1.0 } else { 1.3 };
        let norm = start + (made.norm - start) * (1.0 - libm::exp(-5.0 * t)) + 0.02 * made.norm * noise(seed, salt) * t;
        // Of SGD with momentum 0.9 (Kosson et al., arXiv 2305.17212).
        let equilibrium_rotation = strength.map(|strength| (2.0 * lr * strength / 1.9).sqrt());
        NormRow {
            step,
            lr,
            weight_norm: 4.0 * norm,
            filter_norm_min: 0.8 * norm,
            filter_norm_median: norm,
            gradient_norm: 0.3 / norm,
            effective_lr: lr / (norm * norm),
            rotation: equilibrium_rotation.map_or(0.3 * lr / (norm * norm), |angle| (1.0 + 0.1 * norm) * angle),
            equilibrium_rotation,
        }
    });
    let norms: Vec<NormRow> = norms.collect();
    let last = norms.last().unwrap();
    let layer = |(name, i): (&&str, i32)| {
        let factor = 1.0 + 0.1 * f64::from(i);
        LayerRow {
            name: (*name).to_owned(),
            weight_norm: last.weight_norm * factor,
            filter_norm_min: last.filter_norm_min * factor,
            filter_norm_median: last.filter_norm_median * factor,
            gradient_norm: last.gradient_norm / factor,
            effective_lr: last.effective_lr / factor,
            rotation: last.rotation / factor,
        }
    };
    let layers = ["conv1.weight", "layer1.0.conv1.weight", "layer1.0.conv2.weight"];
    let layers: Vec<LayerRow> = layers.iter().zip(1..).map(layer).collect();
    let digest_of = |layer: &LayerRow| (layer.name.clone(), format!("{:08x}", noise_bits(2, salt) >> 32));
    let of_steps = |micros: f64| rounded(micros * 1e-6 * steps as f64, 1e3);
    Entry {
        record: Record {
            schema: SCHEMA,
            task: "classification".into(),
            task_version: 1,
            outcome: Outcome::Finished,
            headline: Headline { score: "top1".into(), title: "top-1 %".into(), scale: 100.0, higher_is_better: true },
            epochs: epochs.collect(),
            norms,
            weights: format!("weights-of-{id}"),
            tensors: Some(layers.iter().map(digest_of).collect()),
            layers,
            decay_efolds: strength.map(|strength| 4.0 * rate * strength / 0.1 * steps as f64),
            collapsed: Some(0.0),
            losses: Some(digest::losses((0..steps).map(|step| noise(step, salt)))),
            steps,
            seconds: Seconds {
                data: of_steps(900.0),
                forward: of_steps(9_800.0),
                backward: of_steps(18_700.0),
                update: of_steps(420.0 + made.micros),
                evaluation: 4.5,
            },
            about: about(name, made.optimizer["name"].as_str().unwrap()),
            provenance: Provenance {
                commit: "0123456789abcdef0123456789abcdef01234567".into(),
                dataset_digest: DIGEST.into(),
                cpu: "AMD EPYC 9R14".into(),
                kernels: Some("avx512".into()),
                threads: 2,
                precision: "f32".into(),
                started: format!("2026-02-03T{:02}:{:02}:00Z", 8 + seed, noise_bits(1, salt) % 60),
                ended: format!("2026-02-03T{:02}:00:00Z", 12 + seed),
                resumed: 0,
                memory: None,
                faults: None,
            },
            spec,
            id,
        },
        test: None,
    }
}

/// Makes a run stop early without a usable score.
pub(crate) fn diverge(entry: &mut Entry) {
    entry.test = None;
    entry.record.outcome = Outcome::Diverged { epoch: 1, step: 93, reason: "loss is NaN | inf".into() };
    entry.record.epochs.truncate(1);
    entry.record.norms.truncate(9);
    entry.record.layers.clear();
    entry.record.steps = 93;
    entry.record.collapsed = None;
    entry.record.losses.iter_mut().for_each(|losses| losses.truncate(2 * 93));
}

fn about(method: &str, optimizer: &str) -> About {
    let (method, method_source) = match method {
        "wrs" => ("rescales each filter to unit norm after each step", "arXiv 2102.03497"),
        "weight-decay" => ("shrinks the weights by a share of themselves in each step", "textbook"),
        _ => ("the base optimizer alone", "—"),
    };
    let (optimizer, optimizer_source) = match optimizer {
        "sgd" => ("steps along a mean of past gradients", "as torch.optim.SGD"),
        _ => ("divides the mean of past gradients by the root of the mean of their squares", "as torch.optim.Adam"),
    };
    About {
        method: method.into(),
        method_source: method_source.into(),
        optimizer: optimizer.into(),
        optimizer_source: optimizer_source.into(),
        model: "ResNet-20 of width 16".into(),
        parameters: 272_186,
        dataset: "Fashion-MNIST, first 10,000 training images".into(),
        dataset_licence: "MIT".into(),
        dataset_caveat: Some("a part of the training images only, so scores are below those of the full set".into()),
        examples: BTreeMap::from([("train".into(), 9_000), ("validation".into(), 1_000), ("test".into(), 10_000)]),
        recipe: "30 epochs of 70 steps, cosine schedule, random crops".into(),
        title: None,
        pictures: Some("Blue is right, orange is wrong.".into()),
    }
}

fn rounded(value: f64, unit: f64) -> f64 {
    (value * unit).round() / unit
}

/// Between −1 and 1, the same on each machine.
fn noise(number: u64, salt: &str) -> f64 {
    (noise_bits(number, salt) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

/// SplitMix64 over the number and the salt.
fn noise_bits(number: u64, salt: &str) -> u64 {
    salt.bytes().chain(number.to_le_bytes()).fold(0x9e37_79b9_7f4a_7c15, |state, byte| {
        let mut mixed = (state ^ u64::from(byte)).wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
}
