//! The records of `record`'s fixture with the protocol that they were made by, for tests.

#[path = "../../record/src/fixture.rs"]
#[allow(dead_code, reason = "`record` and `report` test with it, too")]
mod records;

pub(crate) use records::*;

use super::Protocol;

/// Of [`entries`].
pub(crate) fn protocol() -> Protocol {
    Protocol { search: [10, 11].into(), seeds: [0, 1, 2].into(), ..Protocol::default() }
}
