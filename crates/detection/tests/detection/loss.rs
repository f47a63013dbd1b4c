//! The loss and its gradient.

use super::object;
use candle_core::{DType, Device, Tensor, Var};
use data::Object;
use detection::{Level, loss};
use golden::Vectors;

fn scalar(tensor: &Tensor) -> f32 {
    tensor.to_scalar().unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// Vectors of tools/make_fcos_golden.py.
#[test]
fn golden_losses_of_pytorch() {
    let vectors = Vectors::open(env!("CARGO_MANIFEST_DIR"), "fcos.safetensors");
    assert!(vectors.cases("").count() >= 4);
    for (case, images) in vectors.cases("") {
        let objects: Vec<Vec<Object>> = images.as_array().unwrap().iter().map(objects).collect();
        let mut vars = Vec::new();
        let levels: Vec<Level> = [8, 16, 32]
            .into_iter()
            .enumerate()
            .map(|(index, stride)| {
                let mut rows = |what: &str| {
                    let (dims, values) = vectors.floats(&format!("{case}/{index}/{what}"));
                    let size = [dims[1], dims[2]];
                    let var = Var::from_vec(values, (dims[0] * dims[1] * dims[2], dims[3]), &Device::Cpu).unwrap();
                    vars.push((format!("{index}/{what} gradient"), var.clone()));
                    (size, var.as_tensor().clone())
                };
                let ((size, classes), (_, boxes)) = (rows("classes"), rows("boxes"));
                Level { size, stride, classes, boxes }
            })
            .collect();
        let found = loss(&levels, &objects).unwrap();
        let close = |name: &str, found: &Tensor| {
            vectors.assert_close("ours", &format!("{case}/{name}"), &values(found));
        };
        close("loss", &found);
        let gradients = found.backward().unwrap();
        for (name, var) in vars {
            close(&name, gradients.get(&var).unwrap());
        }
    }
}

/// The objects of an image of the golden file.
fn objects(image: &serde_json::Value) -> Vec<Object> {
    let list = |key: &str| image[key].as_array().unwrap().clone();
    let number = |value: &serde_json::Value| value.as_f64().unwrap() as f32;
    let all = list("boxes").into_iter().zip(list("classes")).zip(list("ignore"));
    all.map(|((corners, class), ignore)| {
        let corners: Vec<f32> = corners.as_array().unwrap().iter().map(number).collect();
        Object { class: class.as_u64().unwrap() as u32, corners: corners.try_into().unwrap(), ignore: ignore == true }
    })
    .collect()
}

/// Two levels of two images of 64×64 pixels, with numbers of all kinds.
fn levels() -> (Vec<Level>, Vec<Var>) {
    let mut vars = Vec::new();
    let mut rows = |rows: usize, columns: usize, scale: f32| {
        let values = (0..rows * columns).map(|i| ((i * 7919 % 1009) as f32 / 504.5 - 1.0) * scale).collect();
        let var = Var::from_vec::<_, f32>(values, (rows, columns), &Device::Cpu).unwrap();
        vars.push(var.clone());
        var.as_tensor().clone()
    };
    let levels = [4, 8].map(|stride| {
        let side = 64 / stride;
        let (classes, boxes) = (rows(2 * side * side, 3, 3.0), rows(2 * side * side, 5, 1.0));
        Level { size: [side, side], stride, classes, boxes }
    });
    (levels.into(), vars)
}

fn two_images() -> Vec<Vec<Object>> {
    let crowd = Object { ignore: true, ..object(0, [40.0, 0.0, 64.0, 64.0]) };
    vec![
        vec![object(0, [4.0, 5.0, 30.0, 40.0]), crowd, object(2, [1.0, 1.0, 63.0, 62.0])],
        vec![object(1, [20.0, 21.0, 33.0, 45.0])],
    ]
}

#[test]
fn gradients_equal_finite_differences() {
    let (levels, vars) = levels();
    let objects = two_images();
    let gradients = loss(&levels, &objects).unwrap().backward().unwrap();
    for var in &vars {
        let gradient = gradients.get(var).unwrap();
        let length = gradient.sqr().unwrap().sum_all().unwrap().sqrt().unwrap().to_scalar::<f32>().unwrap();
        let direction = (gradient / f64::from(length)).unwrap();
        let start = var.copy().unwrap();
        let at = |h: f64| {
            var.set(&(&start + (&direction * h).unwrap()).unwrap()).unwrap();
            let loss = f64::from(scalar(&loss(&levels, &objects).unwrap()));
            var.set(&start).unwrap();
            loss
        };
        let numeric = (at(1e-2) - at(-1e-2)) / 2e-2;
        assert!((numeric / f64::from(length) - 1.0).abs() < 5e-3, "{numeric} {length}");
    }
}

#[test]
fn what_is_right_has_no_loss() {
    // One object at the center of a pixel that alone may find it, and a confident network.
    let at = object(1, [25.0, 25.0, 31.0, 31.0]);
    let (mut classes, mut boxes) = (vec![-30f32; 64 * 3], vec![0f32; 64 * 5]);
    let pixel = 3 * 8 + 3;
    classes[pixel * 3 + 1] = 30.0;
    boxes[pixel * 5..][..4].fill(libm::logf(3.0 / 8.0));
    boxes[pixel * 5 + 4] = 30.0;
    let right = super::level([8, 8], 8, classes.clone(), boxes.clone());
    assert!(scalar(&loss(&[right], &[vec![at]]).unwrap()).abs() < 1e-5);
    boxes[pixel * 5] += 1.0;
    let wrong = super::level([8, 8], 8, classes, boxes);
    assert!(scalar(&loss(&[wrong], &[vec![at]]).unwrap()) > 0.1);
}

#[test]
fn images_without_objects_have_a_loss_and_gradients() {
    let (levels, vars) = levels();
    for objects in [vec![vec![], vec![]], vec![vec![object(0, [3.0, 3.0, 3.0, 3.0])], vec![]]] {
        let loss = loss(&levels, &objects).unwrap();
        assert!(scalar(&loss).is_finite() && scalar(&loss) > 0.0);
        let gradients = loss.backward().unwrap();
        assert!(vars.iter().all(|var| values(gradients.get(var).unwrap()).iter().all(|g| g.is_finite())));
    }
    // Everything ignored: nothing to learn.
    let all = Object { ignore: true, ..object(0, [0.0, 0.0, 64.0, 64.0]) };
    assert_eq!(scalar(&loss(&levels, &[vec![all], vec![all]]).unwrap()), 0.0);
}

#[test]
fn objects_that_do_not_fit_are_refused() {
    let (levels, _) = levels();
    let message = |objects: &[Vec<Object>]| loss(&levels, objects).unwrap_err().to_string();
    assert!(message(&[vec![]]).contains("the objects of 2 images, found those of 1"));
    assert!(message(&[vec![], vec![object(3, [0.0, 0.0, 9.0, 9.0])]]).contains("classes below 3"));
}

#[test]
fn saturated_logits_and_many_objects_stay_finite() {
    let (mut levels, _) = levels();
    for level in &mut levels {
        level.classes = (&level.classes * 1e4).unwrap();
        level.boxes = (&level.boxes * 1e4).unwrap();
    }
    let many = (0..500).map(|i| {
        let (x, y) = ((i % 25) as f32 * 2.5, (i / 25) as f32 * 3.0);
        object(i % 3, [x, y, x + 9.0, y + 9.0])
    });
    let vars: Vec<Var> =
        levels.iter().flat_map(|level| [&level.classes, &level.boxes]).map(|t| Var::from_tensor(t).unwrap()).collect();
    for (level, pair) in levels.iter_mut().zip(vars.chunks(2)) {
        (level.classes, level.boxes) = (pair[0].as_tensor().clone(), pair[1].as_tensor().clone());
    }
    let loss = loss(&levels, &[many.collect(), vec![]]).unwrap();
    assert!(scalar(&loss).is_finite());
    let gradients = loss.backward().unwrap();
    assert!(vars.iter().all(|var| values(gradients.get(var).unwrap()).iter().all(|g| g.is_finite())));
    assert_eq!(loss.dtype(), DType::F32);
}
