use super::*;
use crate::fixture;

fn page(entries: &[Entry]) -> String {
    splice(None, &render("classification", "cargo xtask report classification", entries).unwrap()).unwrap()
}

#[test]
fn zz_show() {
    let rendered = render("classification", "cargo xtask report classification", &fixture::entries()).unwrap();
    for (name, svg) in &rendered.figures {
        println!("@@{name}\n{svg}");
    }
    println!("@@page.md\n{}", page(&fixture::entries()));
    println!("@@table.txt\n{}", table(&fixture::entries()));
    let mut many = Vec::new();
    for (i, name) in ["adamp", "cautious", "hyperball", "nero", "sam", "soft-rescaling", "rotational", "edm2"].iter().enumerate() {
        let made = fixture::Made { method: serde_json::json!({"name": name}), reaches: 0.85 + 0.004 * i as f64, norm: 0.5 + i as f64, micros: 10.0 };
        many.extend((0..3).map(|seed| fixture::entry(&made, seed)));
    }
    many.extend(fixture::entries());
    for (name, svg) in &render("many", "c", &fixture::with_tests(many)).unwrap().figures {
        println!("@@{name}\n{svg}");
    }
}
