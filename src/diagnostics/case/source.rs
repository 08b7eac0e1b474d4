//! The conventions of a case's source.

use super::Metadata;
use crate::error::Result;
use crate::params::config::{Config, Kind};
use crate::params::validate::whole_state;
use crate::params::variant::{Coupling, Reset, Variant, functions_of_directions};
use crate::tensor::State;

/// Reads the differences of the cell from PyTorch's.
pub(super) fn variant(metadata: &Metadata<'_>, kind: Kind) -> Result<Variant> {
    let file = metadata.file;
    let unknown = |key: &str, other: &str| {
        metadata.refuse(format!("the metadata has {key} = '{other}', which is not known"))
    };
    let mut variant = Variant {
        peepholes: file.names().any(|name| name.starts_with("weight_p_")),
        gate_clip: file.metadata("clip").map(|_| metadata.parse("clip")).transpose()?,
        ..Variant::default()
    };
    variant.coupling = match file.metadata("coupled") {
        None | Some("false") => None,
        Some("true") => Some(Coupling::ForgetFromInput),
        Some("cifg") => Some(Coupling::InputFromForget),
        Some(other) => return Err(unknown("coupled", other)),
    };
    variant.reset = match file.metadata("gru_reset") {
        None | Some("after") => Reset::AfterProduct,
        Some("before") => Reset::BeforeProduct,
        Some(other) => return Err(unknown("gru_reset", other)),
    };
    if let Some(text) = file.metadata("activations") {
        let names: Vec<String> =
            serde_json::from_str(text).map_err(|_| unknown("activations", text))?;
        let functions = names.iter().map(|name| name.parse()).collect::<Result<Vec<_>>>()?;
        let of_directions = functions_of_directions(kind, &functions);
        variant.functions = Some(of_directions.ok_or_else(|| unknown("activations", text))?);
    }
    Ok(variant)
}

/// Reads the initial state.
///
/// A row without a valid step keeps its initial state here. In sources whose final state is then
/// zero, such a row begins with zero instead: nothing but its final state depends on it.
pub(super) fn state(
    metadata: &Metadata<'_>,
    config: &Config,
    lengths: Option<&[usize]>,
) -> Result<Option<State>> {
    let file = metadata.file;
    let optional = |name: &str| file.get(name).is_some().then(|| file.input(name)).transpose();
    let (h, c) = (optional("h0")?, optional("c0")?);
    let Some(mut state) = whole_state(config, h, c)? else { return Ok(None) };
    let ends_with_zero = match file.metadata("zero_len_state") {
        None | Some("h0") => false,
        Some("zeros") => true,
        Some(other) => {
            let message =
                format!("the metadata has zero_len_state = '{other}'; expected zeros or h0");
            return Err(metadata.refuse(message));
        }
    };
    if let Some(lengths) = lengths.filter(|_| ends_with_zero) {
        for tensor in std::iter::once(&mut state.h).chain(&mut state.c) {
            let &[_, batch, width] = tensor.shape() else { continue };
            let rows = tensor.data_mut().chunks_exact_mut(width.max(1));
            let without_step = |&(row, _): &(usize, _)| lengths.get(row % batch) == Some(&0);
            rows.enumerate().filter(without_step).for_each(|(_, values)| values.fill(0.0));
        }
    }
    Ok(Some(state))
}
