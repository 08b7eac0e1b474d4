//! Recipes: cases whose weights and input are generated.
//!
//! SplitMix64 (Steele, Lea and Flood, 2014) generates one value for each index.

use super::{Case, CaseFile, Content, Expected, Metadata, Quantity};
use crate::diagnostics::compare::Tolerance;
use crate::error::Result;
use crate::params::Params;
use crate::params::config::{Config, Kind};
use crate::tensor::{Tensor, element_count, reserved};

/// Returns value `index` of the sequence of `seed`: uniform in ±`bound`, from 24 bits.
fn value(seed: u64, index: u64, bound: f32) -> f32 {
    let mut z = index.wrapping_add(seed).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    ((z >> 40) as f32 * (1.0 / 8_388_608.0) - 1.0) * bound
}

fn values(seed: u64, count: usize, bound: f32, what: &str) -> Result<Vec<f32>> {
    let mut values = reserved(count, what)?;
    values.extend((0..count as u64).map(|index| value(seed, index, bound)));
    Ok(values)
}

/// Returns the seed of the j-th parameter.
fn parameter_seed(base_seed: u64, j: u64) -> u64 {
    base_seed.wrapping_add(j).wrapping_mul(0x0100_0003) & 0xffff_ffff_ffff
}

/// Returns the configuration of a recipe's module.
pub(super) fn config(metadata: &Metadata<'_>) -> Result<Config> {
    let kind: Kind = metadata.parse("kind")?;
    let config = Config::new(kind, metadata.parse("input_size")?, metadata.parse("hidden_size")?)
        .num_layers(metadata.parse("num_layers")?)
        .bidirectional(metadata.flag("bidirectional")?);
    // Before the list of parameters, whose length grows with num_layers.
    config.validate()?;
    Ok(config)
}

pub(super) fn read(metadata: &Metadata<'_>) -> Result<CaseFile> {
    let config = config(metadata)?;
    let (seq_len, batch): (usize, usize) = (metadata.parse("seq_len")?, metadata.parse("batch")?);
    let base_seed: u64 = metadata.parse("base_seed")?;
    let bound: f32 = metadata.parse("weight_bound_f32")?;
    // A small file can describe huge tensors: bound their sizes before the first allocation.
    let most = 1_usize << 31;
    let parameters = crate::params::expected_parameters(&config);
    let sizes = parameters.iter().map(|(_, shape)| shape.as_slice());
    let input_shape = [seq_len, batch, config.input_size];
    let mut total = 0_usize;
    for shape in sizes.chain([input_shape.as_slice(), &[seq_len, batch, config.output_size()]]) {
        let with_this = element_count(shape).and_then(|count| total.checked_add(count));
        total = with_this.filter(|&total| total <= most).ok_or_else(|| {
            metadata.refuse(format!(
                "with a tensor of shape {shape:?} the recipe asks for more than {most} values"
            ))
        })?;
    }
    let mut j = 0;
    let params = Params::from_fn(&config, |name, shape| {
        let seed = parameter_seed(base_seed, j);
        j += 1;
        values(seed, shape.iter().product(), bound, name)
    })?;
    let count = input_shape.iter().product();
    let input = values(base_seed.wrapping_mul(7919), count, 1.0, "the input")?;
    let input = Tensor::new(input_shape, input)?;
    let allow = |error: f64| Tolerance { atol: (64.0 * error).max(2e-6), rtol: 0.0 };
    let tolerance = allow(metadata.parse("torch_f32_max_err")?);
    let mut expected = Vec::new();
    for quantity in [Quantity::OutputFirst, Quantity::OutputLast, Quantity::Hn, Quantity::Cn] {
        if quantity == Quantity::Cn && config.kind != Kind::Lstm {
            continue;
        }
        let own = quantity == Quantity::Cn && metadata.file.metadata("torch_f32_cn_err").is_some();
        let own = own.then(|| metadata.parse("torch_f32_cn_err").map(allow)).transpose()?;
        let own = own.filter(|own: &Tolerance| own.atol > tolerance.atol);
        let tensor = metadata.file.tensor(quantity.name())?;
        expected.push(Expected { quantity, tensor, tolerance: own });
    }
    Ok(CaseFile {
        id: metadata.get("id")?.to_owned(),
        path: metadata.file.path().to_owned(),
        tolerance,
        content: Content::Case(Box::new(Case {
            params,
            cell: false,
            input,
            lengths: None,
            state: None,
            heads: Vec::new(),
            expected,
        })),
    })
}

#[cfg(test)]
mod tests {
    use super::{parameter_seed, value};
    use crate::diagnostics::case::CaseFile;
    use crate::params::state_dict::StateDict;

    #[test]
    fn generated_values_equal_the_documented_ones() {
        // The format documents these values for base_seed 1000.
        let bound = 0.088_388_346_f32;
        let weight: Vec<f32> = (0..4).map(|i| value(parameter_seed(1000, 0), i, bound)).collect();
        assert_eq!(
            weight,
            [0.051_248_66, 0.054_031_9, -0.073_226_07, -0.044_824_08],
            "weight_ih_l0"
        );
        let input: Vec<f32> = (0..4).map(|i| value(1000 * 7919, i, 1.0)).collect();
        assert_eq!(input, [-0.948_265_7, -0.377_445_46, 0.313_004_6, -0.949_188_6], "input");
    }

    /// The error of a recipe with these sizes.
    fn refusal(hidden_size: usize, num_layers: usize, seq_len: usize) -> String {
        let header = serde_json::json!({ "__metadata__": {
            "format": "rnncase-recipe/1", "id": "x", "kind": "gru",
            "base_seed": "1", "weight_bound_f32": "1",
            "input_size": "1", "hidden_size": hidden_size.to_string(),
            "num_layers": num_layers.to_string(), "seq_len": seq_len.to_string(), "batch": "1",
        } })
        .to_string();
        let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
        let file = StateDict::parse("recipe", bytes).expect("a file without tensors");
        CaseFile::read(&file).expect_err("too large").to_string()
    }

    /// A reader that allocates or lists these parameters first would take hours and gigabytes.
    #[test]
    fn a_recipe_with_huge_tensors_is_refused() {
        let message = refusal(1, usize::MAX, 1);
        assert!(message.contains("num_layers is 18446744073709551615"), "{message}");
        let message = refusal(1 << 22, 1, 1);
        assert!(
            message
                .contains("of shape [12582912, 4194304] the recipe asks for more than 2147483648"),
            "{message}"
        );
        let message = refusal(1 << 12, 1 << 10, 1);
        assert!(message.contains("of shape [12288, 4096] the recipe asks for more"), "{message}");
        let message = refusal(1, 1, usize::MAX);
        assert!(message.contains("of shape [18446744073709551615, 1, 1] the recipe"), "{message}");
    }
}
