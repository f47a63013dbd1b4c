//! What training with candle 0.11.1 gives, beside what is right: the reproductions of `docs/candle.md`.
//!
//! `cargo run --release -p regularize-ops --example candle_bugs` prints for each what candle gives and what is expected (values of
//! torch 2.13), and how many still differ: a way to see after an upgrade of candle what it has fixed.

use candle_core::{CpuStorage, CustomOp1, DType, Device::Cpu, Layout, Module, Result, Shape, Tensor, Var};
use candle_nn::{LayerNorm, RmsNorm, VarBuilder, VarMap, loss, ops};
use std::time::Instant;

/// The gradient of the sum of `y`, in words.
fn gradient(x: &Var, y: Result<Tensor>) -> String {
    let backward = || y?.sum_all()?.backward();
    match backward() {
        Err(error) => format!("error: {}", error.to_string().lines().next().unwrap_or_default()),
        Ok(gradients) => match gradients.get(x) {
            None => "no gradient".into(),
            Some(gradient) => values(gradient),
        },
    }
}

/// The values of a tensor, rounded.
fn values(x: &Tensor) -> String {
    let rounded = |x: f32| (f64::from(x) * 1e3).round() / 1e3 + 0.0;
    match x.flatten_all().and_then(|x| x.to_vec1::<f32>()) {
        Err(error) => format!("error: {error}"),
        Ok(x) => x.into_iter().map(|x| rounded(x).to_string()).collect::<Vec<_>>().join(" "),
    }
}

fn max_pool2d_one_maximum() -> Result<String> {
    let x = Var::from_slice(&[1f32, 2., 3., 4.], (1, 1, 2, 2), &Cpu)?;
    Ok(gradient(&x, x.max_pool2d(2)))
}

fn max_pool2d_ties() -> Result<String> {
    // What a ReLU often leaves: zeros.
    let x = Var::zeros((1, 1, 2, 2), DType::F32, &Cpu)?;
    Ok(gradient(&x, x.max_pool2d(2)))
}

fn max_pool2d_side() -> Result<String> {
    // The windows are [1 2; 0 0] and [8 3; 0 0]; the last column is in none.
    let x = Var::from_slice(&[1f32, 2., 8., 3., 0., 0., 0., 0., 0., 0.], (1, 1, 2, 5), &Cpu)?;
    Ok(gradient(&x, x.max_pool2d(2)))
}

fn max_pool2d_stride() -> Result<String> {
    let x = Var::from_slice(&[1f32, 2., 3., 4., 5., 6., 7., 8., 9.], (1, 1, 3, 3), &Cpu)?;
    Ok(gradient(&x, x.max_pool2d_with_stride(2, 1)))
}

fn avg_pool2d_side() -> Result<String> {
    // The last row and column are in no window.
    let x = Var::zeros((1, 1, 3, 3), DType::F32, &Cpu)?;
    Ok(gradient(&x, x.avg_pool2d(2)))
}

fn avg_pool2d_stride() -> Result<String> {
    let x = Var::zeros((1, 1, 3, 3), DType::F32, &Cpu)?;
    Ok(gradient(&x, x.avg_pool2d_with_stride(2, 1)))
}

fn conv2d_not_square() -> Result<String> {
    let x = Var::ones((1, 1, 4, 3), DType::F32, &Cpu)?;
    let weight = Tensor::ones((1, 1, 3, 3), DType::F32, &Cpu)?;
    Ok(gradient(&x, x.conv2d(&weight, 1, 2, 1, 1)))
}

fn upsample_nearest2d_second_use() -> Result<String> {
    let x = Var::from_slice(&[1f32, 2., 3., 4.], (1, 1, 2, 2), &Cpu)?;
    let scaled = (x.as_tensor() * 10.)?.sum_all()?;
    let upsampled = x.upsample_nearest2d(4, 4)?.sum_all()?;
    // In the other order, `scaled + upsampled`, the gradient is right.
    Ok(gradient(&x, upsampled + scaled))
}

fn upsample_nearest1d_second_use() -> Result<String> {
    let x = Var::from_slice(&[1f32, 2., 3.], (1, 1, 3), &Cpu)?;
    let scaled = (x.as_tensor() * 10.)?.sum_all()?;
    let upsampled = x.upsample_nearest1d(6)?.sum_all()?;
    Ok(gradient(&x, upsampled + scaled))
}

fn upsample_nearest2d_factor() -> Result<String> {
    let x = Var::zeros((1, 1, 2, 2), DType::F32, &Cpu)?;
    Ok(gradient(&x, x.upsample_nearest2d(3, 3)))
}

fn upsample_nearest2d_two_factors() -> Result<String> {
    let x = Var::zeros((1, 1, 2, 2), DType::F32, &Cpu)?;
    Ok(gradient(&x, x.upsample_nearest2d(4, 6)))
}

fn upsample_bilinear2d() -> Result<String> {
    let x = Var::zeros((1, 1, 2, 2), DType::F32, &Cpu)?;
    Ok(gradient(&x, x.upsample_bilinear2d(4, 4, false)))
}

fn conv_transpose1d() -> Result<String> {
    let x = Var::ones((1, 1, 2), DType::F32, &Cpu)?;
    let weight = Tensor::ones((1, 1, 3), DType::F32, &Cpu)?;
    Ok(gradient(&x, x.conv_transpose1d(&weight, 0, 0, 1, 1, 1)))
}

fn scatter() -> Result<String> {
    let x = Var::from_slice(&[1f32, 2.], 2, &Cpu)?;
    let (at, source) = (Tensor::new(&[0u32, 0], &Cpu)?, Tensor::new(&[5f32, 5.], &Cpu)?);
    // Value 0 of x is overwritten: it has no influence.
    Ok(gradient(&x, x.scatter(&at, &source, 0)))
}

fn scatter_add() -> Result<String> {
    let x = Var::from_slice(&[1f32, 2.], 2, &Cpu)?;
    let (at, source) = (Tensor::new(&[0u32, 0], &Cpu)?, Tensor::new(&[5f32, 5.], &Cpu)?);
    // Value 0 of x is still a term of the sum.
    Ok(gradient(&x, x.scatter_add(&at, &source, 0)))
}

fn scatter_add_fewer() -> Result<String> {
    let x = Var::from_slice(&[1f32, 2., 3.], 3, &Cpu)?;
    let (at, source) = (Tensor::new(&[0u32, 2], &Cpu)?, Tensor::new(&[5f32, 5.], &Cpu)?);
    Ok(gradient(&x, x.scatter_add(&at, &source, 0)))
}

fn max_ties() -> Result<String> {
    let x = Var::from_slice(&[2f32, 2., 1.], 3, &Cpu)?;
    Ok(gradient(&x, x.max(0)))
}

fn relu_at_0() -> Result<String> {
    let x = Var::from_slice(&[-1f32, 0., 1.], 3, &Cpu)?;
    Ok(gradient(&x, x.relu()))
}

fn abs_at_0() -> Result<String> {
    let x = Var::from_slice(&[-1f32, 0., 1.], 3, &Cpu)?;
    Ok(gradient(&x, x.abs()))
}

fn leaky_relu_at_0() -> Result<String> {
    let x = Var::from_slice(&[-1f32, 0., 1.], 3, &Cpu)?;
    Ok(gradient(&x, ops::leaky_relu(&x, 0.1)))
}

fn clamp_at_0() -> Result<String> {
    let x = Var::from_slice(&[-1f32, 0., 1.], 3, &Cpu)?;
    Ok(gradient(&x, x.clamp(0f32, 6f32)))
}

fn layer_norm() -> Result<String> {
    let x = Var::from_slice(&[1f32, 2., 4.], (1, 3), &Cpu)?;
    let (weight, bias) = (Tensor::new(&[1f32, 2., 3.], &Cpu)?, Tensor::zeros(3, DType::F32, &Cpu)?);
    Ok(gradient(&x, LayerNorm::new(weight, bias, 1e-5).forward(&x)))
}

fn rms_norm() -> Result<String> {
    let x = Var::from_slice(&[1f32, 2., 4.], (1, 3), &Cpu)?;
    let weight = Tensor::new(&[1f32, 2., 3.], &Cpu)?;
    Ok(gradient(&x, RmsNorm::new(weight, 1e-5).forward(&x)))
}

fn softmax_last_dim() -> Result<String> {
    let x = Var::from_slice(&[1f32, 2., 4.], (1, 3), &Cpu)?;
    let y = ops::softmax_last_dim(&x)?;
    Ok(gradient(&x, y.broadcast_mul(&Tensor::new(&[1f32, -2., 3.], &Cpu)?)))
}

fn binary_cross_entropy_value() -> Result<String> {
    let logits = Tensor::new(&[-200f32, 200.], &Cpu)?;
    let targets = Tensor::new(&[0f32, 1.], &Cpu)?;
    Ok(values(&loss::binary_cross_entropy_with_logit(&logits, &targets)?))
}

fn binary_cross_entropy_gradient() -> Result<String> {
    let logit = Var::from_slice(&[20f32], 1, &Cpu)?;
    let target = Tensor::new(&[0f32], &Cpu)?;
    Ok(gradient(&logit, loss::binary_cross_entropy_with_logit(&logit, &target)))
}

fn selu_of_100() -> Result<String> {
    let x = Var::from_slice(&[100f32], 1, &Cpu)?;
    Ok(gradient(&x, ops::selu(&x, 1.673_263_2, 1.050_701)))
}

fn mish_of_100() -> Result<String> {
    let x = Var::from_slice(&[100f32], 1, &Cpu)?;
    Ok(gradient(&x, ops::mish(&x)))
}

fn norm_of_0() -> Result<String> {
    let x = Var::zeros(2, DType::F32, &Cpu)?;
    Ok(gradient(&x, x.norm()))
}

fn pow_of_negative() -> Result<String> {
    let x = Tensor::new(&[-3f32, 0., 3.], &Cpu)?;
    Ok(values(&x.pow(&Tensor::new(&[2f32, 2., 2.], &Cpu)?)?))
}

fn powf_0_at_0() -> Result<String> {
    let x = Var::zeros(1, DType::F32, &Cpu)?;
    Ok(gradient(&x, x.powf(0.)))
}

fn relu_of_nan() -> Result<String> {
    Ok(values(&Tensor::new(&[f32::NAN], &Cpu)?.relu()?))
}

fn max_pool2d_of_nan() -> Result<String> {
    let x = Tensor::new(&[[[[1f32, f32::NAN], [0., 0.]]]], &Cpu)?;
    Ok(values(&x.max_pool2d(2)?))
}

struct Constant;

impl CustomOp1 for Constant {
    fn name(&self) -> &'static str {
        "constant"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((storage.clone(), layout.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor) -> Result<Option<Tensor>> {
        Ok(None)
    }
}

fn custom_op_without_gradient() -> Result<String> {
    let x = Var::ones(1, DType::F32, &Cpu)?;
    let y = (x.as_tensor() * 2.)?.apply_op1(Constant);
    Ok(std::thread::spawn(move || gradient(&x, y)).join().unwrap_or("panic".into()))
}

fn gradient_of_a_constant() -> Result<String> {
    let images = Tensor::ones((1, 1, 4, 4), DType::F32, &Cpu)?;
    let weight = Var::ones((1, 1, 3, 3), DType::F32, &Cpu)?;
    let gradients = images.conv2d(&weight, 1, 1, 1, 1)?.sum_all()?.backward()?;
    Ok(if gradients.get(&images).is_some() { "computed and kept" } else { "none" }.into())
}

/// The shortest of a few backward passes, in seconds: what else the machine does makes them longer only.
fn seconds(loss: &Tensor) -> Result<f64> {
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let start = Instant::now();
        loss.backward()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(best)
}

/// A ratio of times that should be 1, in words.
fn compared(ratio: f64) -> String {
    if ratio < 1.5 { "as long".into() } else { format!("{ratio:.1} times as long") }
}

fn backward_of_views() -> Result<String> {
    let x = Var::zeros((1 << 10, 1 << 10), DType::F32, &Cpu)?;
    let mut y = x.as_tensor().clone();
    for _ in 0..10 {
        y = y.reshape((1 << 9, 1 << 11))?.reshape((1 << 10, 1 << 10))?;
    }
    Ok(compared(seconds(&y.sum_all()?)? / seconds(&x.sum_all()?)?))
}

fn backward_of_groups() -> Result<String> {
    let time = |channels: usize| {
        let x = Var::ones((1, channels, 32, 32), DType::F32, &Cpu)?;
        let weight = Var::ones((channels, 1, 3, 3), DType::F32, &Cpu)?;
        seconds(&x.conv2d(&weight, 1, 1, 1, channels)?.sum_all()?)
    };
    Ok(compared(time(256)? / 256. / (time(32)? / 32.)))
}

#[expect(clippy::disallowed_methods, reason = "that it fails is what is shown")]
fn seed() -> Result<String> {
    Ok(match Cpu.set_seed(1) {
        Ok(()) => "seeded".into(),
        Err(error) => format!("error: {}", error.to_string().lines().next().unwrap_or_default()),
    })
}

fn order_of_variables() -> Result<String> {
    let order = || -> Result<Vec<usize>> {
        let map = VarMap::new();
        let builder = VarBuilder::from_varmap(&map, DType::F32, &Cpu);
        for layer in 1..=16 {
            builder.get(layer, &format!("layer{layer}"))?;
        }
        Ok(map.all_vars().iter().map(|var| var.elem_count()).collect())
    };
    Ok(if order()? == order()? { "the same order" } else { "another order" }.into())
}

/// A title as in the note, a reproduction and what it should give.
type Case = (&'static str, fn() -> Result<String>, &'static str);

const CASES: &[Case] = &[
    ("max_pool2d, one maximum in a window", max_pool2d_one_maximum, "0 0 0 1"),
    ("max_pool2d, ties", max_pool2d_ties, "1 0 0 0"),
    ("max_pool2d, side not a multiple of the kernel", max_pool2d_side, "0 1 1 0 0 0 0 0 0 0"),
    ("max_pool2d, kernel 2, stride 1", max_pool2d_stride, "0 0 0 0 1 1 0 1 1"),
    ("avg_pool2d, side not a multiple of the kernel", avg_pool2d_side, "0.25 0.25 0 0.25 0.25 0 0 0 0"),
    ("avg_pool2d, kernel 2, stride 1", avg_pool2d_stride, "0.25 0.5 0.25 0.5 1 0.5 0.25 0.5 0.25"),
    ("conv2d, stride 2 on 4×3", conv2d_not_square, "1 2 1 2 4 2 1 2 1 1 2 1"),
    ("upsample_nearest2d of a tensor with a second use", upsample_nearest2d_second_use, "14 14 14 14"),
    ("upsample_nearest1d of a tensor with a second use", upsample_nearest1d_second_use, "12 12 12"),
    ("upsample_nearest2d, 2×2 to 3×3", upsample_nearest2d_factor, "4 2 2 1"),
    ("upsample_nearest2d, 2×2 to 4×6", upsample_nearest2d_two_factors, "6 6 6 6"),
    ("upsample_bilinear2d", upsample_bilinear2d, "4 4 4 4"),
    ("conv_transpose1d", conv_transpose1d, "3 3"),
    ("scatter", scatter, "0 1"),
    ("scatter_add", scatter_add, "1 1"),
    ("scatter_add of fewer values", scatter_add_fewer, "1 1 1"),
    ("max of 2 2 1", max_ties, "0.5 0.5 0"),
    ("relu at -1 0 1", relu_at_0, "0 0 1"),
    ("abs at -1 0 1", abs_at_0, "-1 0 1"),
    ("leaky_relu at -1 0 1", leaky_relu_at_0, "0.1 0.1 1"),
    ("clamp(0, 6) at -1 0 1", clamp_at_0, "0 1 1"),
    ("LayerNorm", layer_norm, "-0.115 0.172 -0.057"),
    ("RmsNorm", rms_norm, "0.072 0.144 -0.09"),
    ("softmax_last_dim", softmax_last_dim, "-0.057 -0.496 0.553"),
    ("binary_cross_entropy_with_logit of -200 and 200", binary_cross_entropy_value, "0"),
    ("binary_cross_entropy_with_logit at 20", binary_cross_entropy_gradient, "1"),
    ("selu at 100", selu_of_100, "1.051"),
    ("mish at 100", mish_of_100, "1"),
    ("norm at 0 0", norm_of_0, "0 0"),
    ("(-3 0 3) pow 2", pow_of_negative, "9 0 9"),
    ("powf(0) at 0", powf_0_at_0, "0"),
    ("relu of not-a-number", relu_of_nan, "NaN"),
    ("max_pool2d of not-a-number", max_pool2d_of_nan, "NaN"),
    ("bwd of a custom op gives None", custom_op_without_gradient, "no gradient"),
    ("gradient of images that are no variable", gradient_of_a_constant, "none"),
    ("backward of 20 reshapes and a sum, against the sum alone", backward_of_views, "as long"),
    ("backward of a depthwise conv2d, a channel of 256 against one of 32", backward_of_groups, "as long"),
    ("Device::Cpu.set_seed", seed, "seeded"),
    ("VarMap::all_vars, twice", order_of_variables, "the same order"),
];

fn main() -> Result<()> {
    // A panic is a result here; what it prints would be in the way.
    std::panic::set_hook(Box::new(|_| {}));
    let mut differ = 0;
    for (title, reproduce, expected) in CASES {
        let found = reproduce()?;
        differ += usize::from(found != *expected);
        println!("{title}\n    candle:   {found}\n    expected: {expected}");
    }
    println!("{differ} of {} differ", CASES.len());
    Ok(())
}
