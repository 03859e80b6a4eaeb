//! Names for containers that were given none.

use ctr_types::ContainerName;

use crate::EngineError;

const ADJECTIVES: [&str; 32] = [
    "amber", "brave", "brisk", "calm", "clever", "cosy", "crisp", "daring", "eager", "fair",
    "fleet", "gentle", "glad", "golden", "hardy", "honest", "jolly", "keen", "lively", "lucid",
    "mellow", "nimble", "noble", "placid", "quick", "quiet", "serene", "sharp", "silver", "steady",
    "sunny", "wise",
];
const NOUNS: [&str; 32] = [
    "acorn", "anchor", "badger", "beacon", "birch", "brook", "cedar", "comet", "dune", "ember",
    "falcon", "fern", "finch", "harbor", "heron", "island", "juniper", "lantern", "maple",
    "marten", "meadow", "otter", "pebble", "pine", "raven", "reef", "river", "sparrow", "spruce",
    "summit", "tide", "willow",
];

/// A made-up name, `adjective_noun` with two digits when `salt` is not 0.
pub fn default_name(salt: u32) -> Result<ContainerName, EngineError> {
    let mut bytes = [0_u8; 4];
    getrandom::fill(&mut bytes).map_err(ctr_types::IdError::Random)?;
    let pick = |list: &[&'static str; 32], byte: u8| {
        list.get(usize::from(byte) % 32).copied().unwrap_or("x")
    };
    let [a, b, c, _] = bytes;
    let mut text = format!("{}_{}", pick(&ADJECTIVES, a), pick(&NOUNS, b));
    if salt > 0 {
        text.push_str(&(u32::from(c) + salt).to_string());
    }
    text.parse()
        .map_err(|error: ctr_types::NameError| EngineError::Invalid(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_names_are_names() {
        for salt in 0..50 {
            let name = default_name(salt).unwrap();
            assert_eq!(
                name.as_str().chars().any(|c| c.is_ascii_digit()),
                salt > 0,
                "{name}"
            );
        }
    }
}
