//! Concatenation of maps.

use crate::columns;
use crate::feature_map::{Body, FeatureMap, mixed};
use crate::graph::{Edge, Gradient};
use crate::memory::Buffer;
use crate::values::elements;
use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;
use std::sync::Arc;

/// The channels of all `maps`, each `[n, h, w, cᵢ]`, behind each other: `[n, h, w, Σ cᵢ]`, as `torch.cat`
/// along the channels.
///
/// A map may appear more than once.
///
/// # Errors
///
/// Where there are no maps, or their `[n, h, w]` differ.
pub fn concat(maps: &[&FeatureMap]) -> Result<FeatureMap> {
    let Some(first) = maps.first() else {
        bail!("{NAME}: expected at least one map, found none");
    };
    let [n, h, w, _] = first.dims();
    if let Some(other) = maps.iter().find(|map| map.dims()[..3] != [n, h, w]) {
        bail!("{NAME}: expected maps of one [n, h, w], found {:?} and {:?}", first.dims(), other.dims());
    }
    let Some(width) = maps.iter().try_fold(0usize, |sum, map| sum.checked_add(map.channels())) else {
        bail!("{NAME}: the maps have more channels than can be counted");
    };
    let dims = [n, h, w, width];
    let len = elements(NAME, dims)?;
    if maps.len() == 1 {
        return Ok(first.unchanged());
    }
    let (mut values, mut tensors) = (Vec::new(), Vec::new());
    for map in maps {
        match map.body() {
            Body::Kernels(map) => values.push(map),
            Body::Candle(map) => tensors.push(map),
        }
    }
    if values.is_empty() {
        return Ok(FeatureMap::candle(dims, Tensor::cat(&tensors, 3)?));
    }
    let kernels = values[0].kernels;
    if !tensors.is_empty() || values.iter().any(|map| map.kernels != kernels) {
        return mixed(NAME);
    }
    // Rows of a matrix of `width` columns, of which each map has some.
    let rows = columns::chunk(width) / width.max(1);
    let mut y = Buffer::arbitrary(len)?;
    if len > 0 {
        y.par_chunks_mut(rows * width).enumerate().for_each(|(chunk, y)| {
            let mut start = 0;
            for (x, c) in values.iter().zip(maps.iter().map(|map| map.channels())).filter(|(_, c)| *c > 0) {
                let x = &x.values[chunk * rows * c..];
                for (y, x) in y.chunks_exact_mut(width).zip(x.chunks_exact(c)) {
                    y[start..start + c].copy_from_slice(x);
                }
                start += c;
            }
        });
    }
    let dy = Gradient::default();
    let edges: Vec<&Edge> = values.iter().map(|map| &map.edge).collect();
    let edge = Edge::node(NAME, &edges, {
        let dy = dy.clone();
        let parts: Vec<_> = values
            .iter()
            .zip(maps)
            .map(|(x, map)| (map.channels(), x.edge.is_tracked().then(|| x.gradient.clone())))
            .collect();
        move || {
            let dy = dy.take(NAME)?;
            let mut start = 0;
            for (c, dx) in parts {
                if let Some(dx) = dx {
                    dx.add(n * h * w * c, |dx, add| {
                        if !dx.is_empty() {
                            dx.par_chunks_mut(rows * c).zip(dy.par_chunks(rows * width)).for_each(|(dx, dy)| {
                                for (dx, dy) in dx.chunks_exact_mut(c).zip(dy.chunks_exact(width)) {
                                    let dy = &dy[start..start + c];
                                    if add {
                                        dx.iter_mut().zip(dy).for_each(|(dx, dy)| *dx += dy);
                                    } else {
                                        dx.copy_from_slice(dy);
                                    }
                                }
                            });
                        }
                        Ok(())
                    })?;
                }
                start += c;
            }
            Ok(())
        }
    })?;
    Ok(FeatureMap::kernels(dims, kernels, Arc::new(y), edge, dy))
}

const NAME: &str = "concat";
