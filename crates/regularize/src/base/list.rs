//! The list of optimizers.

use super::Rule;
use crate::list::Info;
use crate::table;

/// What a list says of an optimizer.
pub type OptimizerInfo = Info<Rule>;

/// All optimizers: the one list that configurations, the command line, errors and pages read.
pub const OPTIMIZERS: &[OptimizerInfo] = &[
    Info {
        name: "sgd",
        description: "stochastic gradient descent with momentum, optionally Nesterov's; decay is coupled",
        formula: "g ← ∇L + λ·w\n\
                  b ← g at the first step, then b ← μ·b + (1 − dampening)·g\n\
                  u ← g + μ·b with Nesterov's momentum, else u ← b\n\
                  w ← w − η·u",
        source: "torch.optim.SGD; Sutskever et al., ICML 2013",
        limits: "decay passes through the momentum: on average it shrinks weights by η·λ/(1−μ) per step",
        choices: &[],
        read: |table| table::read("optimizer", "sgd", table).map(Rule::Sgd),
    },
    Info {
        name: "adam",
        description: "steps scaled by running moments of each value's gradient; decay is coupled",
        formula: "g ← ∇L + λ·w\n\
                  m ← β₁·m + (1−β₁)·g;  v ← β₂·v + (1−β₂)·g²\n\
                  w ← w − η·m̂/(√v̂ + ε)",
        source: "torch.optim.Adam; arXiv 1412.6980",
        limits: "coupled decay is divided by √v̂, too: values with large gradients decay less, and where λ·w outweighs the \
                 gradient, λ cancels",
        choices: &[],
        read: |table| table::read("optimizer", "adam", table).map(Rule::Adam),
    },
    Info {
        name: "adamw",
        description: "Adam with decoupled decay",
        formula: "w ← (1 − η·λ)·w\n\
                  then the step of `adam` without decay",
        source: "torch.optim.AdamW; arXiv 1711.05101",
        limits: "only the product η·λ matters: a change of the learning rate changes the decay",
        choices: &[],
        read: |table| table::read("optimizer", "adamw", table).map(Rule::AdamW),
    },
    Info {
        name: "sgdp",
        description: "SGD that removes the part of the update along weights that look scale-invariant",
        formula: "u as `sgd` without decay, from b = 0\n\
                  where max |cos(∇L, f)| < δ/√n: u ← u − (u·f)·f/‖f‖², and r = wd_ratio; else r = 1;\n\
                  without Nesterov's momentum b ← u\n\
                  w ← (1 − η·λ·r/(1−μ))·w − η·u\n\
                  where filters do not look scale-invariant, the same is tried with the whole layer as f",
        source: "adamp.SGDP 0.3.0; arXiv 2006.08217",
        limits: "infers scale invariance from the cosine of one batch's gradient, weight by weight, not from the network",
        choices: &[],
        read: |table| table::read("optimizer", "sgdp", table).map(Rule::Sgdp),
    },
    Info {
        name: "adamp",
        description: "Adam that removes the part of the update along weights that look scale-invariant",
        formula: "u ← m̂/(√v̂ + ε), as `adam` without decay\n\
                  where max |cos(∇L, f)| < δ/√n: u ← u − (u·f)·f/‖f‖², and r = wd_ratio; else r = 1\n\
                  w ← (1 − η·λ·r)·w − η·u\n\
                  where filters do not look scale-invariant, the same is tried with the whole layer as f",
        source: "adamp.AdamP 0.3.0; arXiv 2006.08217",
        limits: "infers scale invariance from the cosine of one batch's gradient, weight by weight, not from the network",
        choices: &[],
        read: |table| table::read("optimizer", "adamp", table).map(Rule::AdamP),
    },
    Info {
        name: "muon",
        description: "layers of norm √(number of filters), updated by momentum whose singular values are set to about 1",
        formula: "b ← μ·b + ∇L;  d ← ∇L + μ·b with Nesterov's momentum, else d ← b\n\
                  w ← √C·w/‖w‖, with C the number of filters; running statistics and bias as `wrs`\n\
                  w ← w − η·NS(d), with NS(d) `iterations` times X ← a·X + (b·A + c·A²)·X from X = d/‖d‖, A = X·Xᵀ\n\
                  other parameters: `sgd` with Nesterov's momentum, `rest_lr` and `rest_momentum`",
        source: "K. Jordan et al., Muon, 2024; airbench94_muon (3 iterations, in bfloat16)",
        limits: "requires method `none`; matrix products make steps of wide layers expensive",
        choices: &[],
        read: |table| table::read("optimizer", "muon", table).map(Rule::Muon),
    },
    Info {
        name: "nero",
        description: "neurons (rows of dimension 0) of mean 0 and norm 1 that rotate by about the learning rate in each step",
        formula: "s ← β·s + (1−β)·‖∇L_f‖²\n\
                  f ← f − η·σ·∇L_f/√ŝ, with σ the mean norm of the weight's neurons at the start\n\
                  f ← (f − mean f)/‖f − mean f‖",
        source: "arXiv 2102.07227",
        limits: "constrains every weight of two or more dimensions, including the last layer; requires method `none`",
        choices: &[],
        read: |table| table::read("optimizer", "nero", table).map(Rule::Nero),
    },
];
