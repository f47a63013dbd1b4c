//! The metric: F1 of each class, and their mean.

use record::Scores;

/// Of each class, the images where it was found and occurs, and those where only one of these holds.
#[derive(Debug, Clone, Default)]
pub struct Meter(Vec<[u64; 2]>);

impl Meter {
    /// Adds an image: for each class whether it was found, and whether it occurs.
    pub fn observe(&mut self, classes: &[(bool, bool)]) {
        self.0.resize(classes.len(), [0; 2]);
        for ([hits, mistakes], (found, occurs)) in self.0.iter_mut().zip(classes) {
            *hits += u64::from(*found && *occurs);
            *mistakes += u64::from(found != occurs);
        }
    }

    /// `f1/<class>` of each class, and `f1`, their mean; a class that neither was found nor occurs has none.
    pub fn scores(&self, classes: &[String]) -> Scores {
        let seen = self.0.iter().zip(classes).filter(|([hits, mistakes], _)| hits + mistakes > 0);
        let f1 = |[hits, mistakes]: [u64; 2]| 2.0 * hits as f64 / (2 * hits + mistakes) as f64;
        let mut scores: Scores = seen.map(|(counts, class)| (format!("f1/{class}"), f1(*counts))).collect();
        scores.insert("f1".into(), scores.values().sum::<f64>() / scores.len().max(1) as f64);
        scores
    }
}
