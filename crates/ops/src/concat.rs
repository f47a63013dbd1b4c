//! Concatenation of maps.

use crate::feature_map::{FeatureMap, common_engine};
use crate::graph::Edge;
use crate::values::elements;
use candle_core::{Result, bail};
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
    let engine = common_engine(NAME, first, maps)?;
    let mut y = engine.allocate(len)?;
    let parts: Vec<_> = maps.iter().map(|map| (&*map.values, map.channels())).collect();
    engine.concat(&parts, &mut y)?;
    let edges: Vec<&Edge> = maps.iter().map(|map| &map.edge).collect();
    let wanted: Vec<_> = maps.iter().map(|map| (map.channels(), map.values.len(), map.wanted())).collect();
    FeatureMap::from_op(NAME, engine, &edges, dims, Arc::new(y), move |dy| {
        let mut start = 0;
        for (channels, len, gradient) in wanted {
            if let Some(gradient) = gradient {
                gradient.add(len, |dx, add| engine.split(&dy, width, start, channels, dx, add))?;
            }
            start += channels;
        }
        Ok(())
    })
}

const NAME: &str = "concat";
