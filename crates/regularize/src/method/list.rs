//! The list of methods.

// `cargo xtask new method` adds modules above this line.

use super::Method;
use crate::list::Info;
use crate::table::{self, NoSettings};

/// What a list says of a method.
pub type MethodInfo = Info<Method>;

/// All methods: the one list that configurations, the command line, errors and legends read.
pub const METHODS: &[MethodInfo] = &[
    Info {
        name: "none",
        description: "scale-invariant weights are not regularized: the control",
        formula: "w ← w − η·u",
        source: "control",
        limits: "the effective rate falls as norms grow, so it depends on the length of training",
        choices: &[],
        read: |table| table::read::<NoSettings>("method", "none", table).map(|_| Method::None),
    },
    Info {
        name: "weight-decay",
        description: "each step shrinks all parameters, or only the scale-invariant weights, in proportion to λ",
        formula: "own: the form of the optimizer, coupled for `sgd` and `adam`, decoupled for the others\n\
                  coupled: g ← ∇L + λ·w, before momentum and moments\n\
                  decoupled: w ← (1 − η·λ)·w\n\
                  cautious: w ← w − η·(u + λ·[u·w ≥ 0]·w), value by value\n\
                  corrected: w ← (1 − λ·η²/η_max)·w on scale-invariant weights, decoupled on others;\n\
                  \u{20}          η_max is the optimizer's `lr`\n\
                  stable: w ← (1 − λ·η/(1−μ))·w under `sgd`, (1 − λ·η/√v̄)·w under `adam` and `adamw`, v̄ the mean of v̂ over\n\
                  \u{20}       all values with a gradient",
        source: "Krogh and Hertz, NeurIPS 1991; coupled as in torch.optim.SGD and Adam, decoupled arXiv 1711.05101, \
                 cautious arXiv 2510.12402, corrected arXiv 2506.02285 (arXiv 2512.08217 disputes its argument that updates are \
                 orthogonal to weights), stable arXiv 2011.11152",
        limits: "sets the rotation of scale-invariant weights only after several relaxation times, (1−μ)/(4ηλ) steps if coupled \
                 decay passes through a momentum μ, 1/(2ηλ) with AdamW; with strong decay single filters collapse; `corrected` is meant for schedules whose largest rate is `lr`; `sgdp` and `adamp` \
                 scale decay themselves, so they accept `form = \"own\"` only",
        choices: &[
            ("scope", &["\"scale-invariant\""]),
            ("form", &["\"coupled\"", "\"decoupled\"", "\"cautious\"", "\"corrected\"", "\"stable\""]),
        ],
        read: |table| table::read("method", "weight-decay", table).map(Method::WeightDecay),
    },
    Info {
        name: "wrs",
        description: "weight rescaling: each step resets every scale-invariant filter to its target norm",
        formula: "before the first step and then once per interval, with c = target/‖f‖:\n\
                  f ← c·f\n\
                  with it: running mean ← c·running mean, running variance ← c²·running variance, bias ← c·bias\n\
                  target: unit 1, init ‖f₀‖, rms-one √n; granularity layer: w instead of f, and target root-filters √C of C filters",
        source: "arXiv 2102.03497, whose public text does not fix the defaults; per filter and step it equals the \
                 projection of arXiv 1710.02338",
        limits: "not for frozen batch norm or convolutions that are not followed by batch statistics; with Adam at unit \
                 norm, filters rotate in proportion to √n, which `target = \"rms-one\"` removes; with `granularity = \
                 \"layer\"`, each of C filters rotates C times as fast with SGD, √C times with Adam, unless `target = \"root-filters\"`; a matched rate requires `sgd` (no \
                 dampening, no Nesterov), `adam` or `adamw`, and a target other than `init`",
        choices: &[
            ("granularity", &["\"layer\""]),
            ("target", &["\"init\"", "\"rms-one\"", "\"root-filters\"", "{ constant = 2.0 }"]),
            ("interval", &["{ steps = 100 }", "{ epochs = 1 }"]),
            ("state", &["\"rescale\"", "\"project\""]),
            ("rate", &["{ matched = { lr = 0.1, decay = 5e-4 } }"]),
        ],
        read: |table| table::read("method", "wrs", table).map(Method::Wrs),
    },
    Info {
        name: "pbwn",
        description: "projection-based weight normalization: filters of norm 1, optionally with a Riemannian gradient",
        formula: "riemannian: g ← g − (g·f)·f/‖f‖²\n\
                  after the step, or between epochs: f ← f/‖f‖",
        source: "arXiv 1710.02338",
        limits: "as `wrs`; for scale-invariant weights the Riemannian gradient changes nothing but rounding",
        choices: &[("interval", &["{ epochs = 1 }"])],
        read: |table| table::read("method", "pbwn", table).map(Method::Pbwn),
    },
    Info {
        name: "gradient-centralization",
        description: "subtracts the mean from the gradient of every filter, so that the mean of the filter stays constant",
        formula: "g ← ∇L + λ·f if decay is coupled\n\
                  g ← g − mean g, for each filter of a weight with more than one dimension",
        source: "arXiv 2004.01461, in the order of the authors' code",
        limits: "without `decay`, norms of scale-invariant weights grow; the last linear layer is centralized, too, \
                 unless `scope = \"scale-invariant\"`; filters of one value are left unchanged",
        choices: &[("scope", &["\"scale-invariant\""])],
        read: |table| table::read("method", "gradient-centralization", table).map(Method::GradientCentralization),
    },
    Info {
        name: "weight-standardization",
        description: "the network sees filters of mean 0 and standard deviation 1; the stored weights are trained",
        formula: "seen: (f − mean f)/(std f + 1e-5), with the unbiased std and gradients through both",
        source: "arXiv 1903.10520",
        limits: "without `decay`, norms of the stored weights grow; needs layers that get the weight from `Params`; \
                 filters of one value are standardized to 0",
        choices: &[("form", &["\"coupled\"", "\"decoupled\"", "\"cautious\"", "\"corrected\"", "\"stable\""])],
        read: |table| table::read("method", "weight-standardization", table).map(Method::WeightStandardization),
    },
    Info {
        name: "weight-normalization",
        description: "the network sees g·v/‖v‖ per filter; norm g and direction v are trained separately",
        formula: "seen: g·v/‖v‖, with gradients to g and v; at the start g = ‖v‖ (here g is the gain)",
        source: "arXiv 1602.07868",
        limits: "if batch norm follows, g has no effect, and without `decay` the norm of v only grows; needs layers that get \
                 the weight from `Params`",
        choices: &[],
        read: |table| table::read("method", "weight-normalization", table).map(Method::WeightNormalization),
    },
    Info {
        name: "forced-weight-normalization",
        description: "EDM2: stored filters have root mean square 1, and the network sees them normalized to norm 1",
        formula: "stored: f ← f/(1e-4 + rms f)\n\
                  seen: f/(1e-4 + rms f)/√n, with gradients through rms f",
        source: "arXiv 2312.02696, equation 66 and algorithm 1",
        limits: "meant for networks without batch norm, where the fixed gain matters; here it equals `wrs` with \
                 `target = \"rms-one\"` except that its gradient has no radial part; needs layers that get the weight \
                 from `Params`",
        choices: &[],
        read: |table| {
            table::read::<NoSettings>("method", "forced-weight-normalization", table)
                .map(|_| Method::ForcedWeightNormalization)
        },
    },
    Info {
        name: "soft-weight-rescaling",
        description: "each step draws the norm of every scale-invariant layer toward its initial value",
        formula: "w ← c·w with c = k·‖w₀‖/‖w‖ + (1 − k), k the `strength`\n\
                  with it: as `wrs`",
        source: "arXiv 2507.04683; the default of k is ours",
        limits: "the norm settles above its initial value, and farther above it the larger η²‖g‖² is compared with k",
        choices: &[],
        read: |table| table::read("method", "soft-weight-rescaling", table).map(Method::SoftWeightRescaling),
    },
    Info {
        name: "weight-norm-control",
        description: "decoupled decay of every scale-invariant layer toward a multiple of its initial norm instead of 0",
        formula: "w ← (1 − k)·w + k·r·‖w₀‖·w/‖w‖ after the step, with k = η·λ, λ the `decay`, r the `target`\n\
                  with it: as `wrs`",
        source: "arXiv 2311.11446 (AdamWN, with `adamw`); its code is not public: that it acts per layer, in proportion to η and after \
                 the step is our reading, and the defaults are ours",
        limits: "decoupled weight decay is the case r → 0; the norm settles above its target, and farther above it the \
                 larger the update is compared with k",
        choices: &[],
        read: |table| table::read("method", "weight-norm-control", table).map(Method::WeightNormControl),
    },
    Info {
        name: "hyperball",
        description: "weight and update of every scale-invariant layer are normalized, so that η is the angle of a step",
        formula: "w ← w − η·‖w₀‖·u/‖u‖\n\
                  w ← ‖w₀‖·w/‖w‖",
        source: "Hyperball, arXiv 2606.16899",
        limits: "steps do not shrink with the gradient, so only the schedule ends training; not with `sgdp`, `adamp`, \
                 `muon` or `nero`",
        choices: &[],
        read: |table| table::read::<NoSettings>("method", "hyperball", table).map(|_| Method::Hyperball),
    },
    Info {
        name: "rotational",
        description: "filters of constant norm rotate by the angle of weight decay's equilibrium from the first step",
        formula: "zero_mean: u ← u − mean u\n\
                  u ← u − (u·f)·f/‖f‖²\n\
                  s ← .9·s + .1·‖u‖²\n\
                  f ← f − θ·‖f₀‖·u/(√ŝ + 1e-8)\n\
                  f ← ‖f₀‖·f/‖f‖\n\
                  θ = √(2ηλ/(1+μ)) with `sgd`, √(2ηλ(1−β₁)/(1+β₁)) with `adam` and `adamw`",
        source: "arXiv 2305.17212, algorithm 1 (RV-SGDM, RV-AdamW)",
        limits: "the angle is that of heavy-ball SGD or of AdamW: requires `sgd` (no dampening, no Nesterov), `adam` or \
                 `adamw`; `zero_mean` also centers each filter at the start, which changes the network",
        choices: &[],
        read: |table| table::read("method", "rotational", table).map(Method::Rotational),
    },
    // `cargo xtask new method` adds entries above this line.
];
