//! Deserialising, which checks as the constructors do.

use serde::de::{Deserialize, Deserializer, Error};

use super::config::Config;
use super::kind::Kind;
use super::variant::Variant;
use crate::tensor::{State, Tensor};

impl<'de> Deserialize<'de> for Tensor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(rename = "Tensor", deny_unknown_fields)]
        struct Fields {
            shape: Vec<usize>,
            data: Vec<f32>,
        }
        let Fields { shape, data } = Fields::deserialize(deserializer)?;
        Self::new(shape, data).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for State {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(rename = "State", deny_unknown_fields)]
        struct Fields {
            h: Tensor,
            c: Option<Tensor>,
        }
        let Fields { h, c } = Fields::deserialize(deserializer)?;
        Self::new(h, c).map_err(D::Error::custom)
    }
}

/// Absent arguments have PyTorch's defaults. The order is that of [`Config`], for formats without
/// names.
impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(rename = "Config", deny_unknown_fields)]
        struct Fields {
            kind: Kind,
            input_size: usize,
            hidden_size: usize,
            #[serde(default = "one")]
            num_layers: usize,
            #[serde(default = "yes")]
            bias: bool,
            #[serde(default)]
            batch_first: bool,
            #[serde(default)]
            dropout: f64,
            #[serde(default)]
            bidirectional: bool,
            #[serde(default)]
            proj_size: usize,
            #[serde(default)]
            reverse: bool,
            #[serde(default)]
            variant: Variant,
        }
        let fields = Fields::deserialize(deserializer)?;
        let config = Self::new(fields.kind, fields.input_size, fields.hidden_size)
            .num_layers(fields.num_layers)
            .bias(fields.bias)
            .batch_first(fields.batch_first)
            .dropout(fields.dropout)
            .bidirectional(fields.bidirectional)
            .proj_size(fields.proj_size)
            .reverse(fields.reverse)
            .variant(fields.variant);
        config.validate().map_err(D::Error::custom)?;
        Ok(config)
    }
}

const fn one() -> usize {
    1
}

const fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use serde::Serialize;
    use serde::de::DeserializeOwned;
    use serde_json::{from_str, to_string};

    use crate::variant::{ActivationFunction, Coupling, Variant};
    use crate::{Config, Kind, State, Tensor};

    fn comes_back<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) {
        let text = to_string(value).expect("a small value");
        assert_eq!(from_str::<T>(&text).expect(&text), *value, "{text}");
    }

    #[test]
    fn values_come_back_as_they_were() {
        let tensor = Tensor::from_fn([2, 0, 3], |_| 0.0).expect("no values");
        comes_back(&tensor);
        let config = Config::lstm(3, 8).num_layers(2).bidirectional(true).proj_size(4).dropout(0.5);
        comes_back(&State::zeros(&config, 2).expect("a small state"));
        comes_back(&State::from(Tensor::from(vec![0.1, -1e-40, f32::MAX])));
        let variant = Variant {
            functions: Some([[ActivationFunction::Elu { alpha: 0.3 }; 3]; 2]),
            cell_clip: Some(2.5),
            coupling: Some(Coupling::InputFromForget),
            ..Variant::default()
        };
        for &kind in Kind::ALL {
            comes_back(&Config::new(kind, 1, 2).bias(false).batch_first(true));
        }
        let in_order = r#"["lstm", 3, 8, 2, true, false, 0.5, true, 4, false, {}]"#;
        assert_eq!(from_str::<Config>(in_order).expect("as formats without names have it"), config);
        comes_back(&config.variant(variant));
        let text = r#"{"kind": "rnn_relu", "input_size": 3, "hidden_size": 4}"#;
        let config: Config = from_str(text).expect("PyTorch's defaults");
        assert_eq!(config, Config::new(Kind::RnnRelu, 3, 4));
    }

    #[test]
    fn values_are_checked_as_constructors_check_them() {
        let error = |error: serde_json::Error| error.to_string();
        let tensor = |text| from_str::<Tensor>(text).map_err(error).expect_err(text);
        let config = |text| from_str::<Config>(text).map_err(error).expect_err(text);
        for (found, want) in [
            (tensor(r#"{"shape": [2, 2], "data": [1, 2, 3]}"#), "holds 4 elements, but 3"),
            (tensor(r#"{"shape": [18446744073709551615, 2], "data": []}"#), "can be counted"),
            (tensor(r#"{"shape": [1], "data": [null]}"#), "null"),
            (tensor(r#"{"shape": [-1], "data": []}"#), "invalid value"),
            (tensor(r#"{"shape": [], "data": [1], "more": 1}"#), "unknown field"),
            (config(r#"{"kind": "lstm", "input_size": 0, "hidden_size": 1}"#), "input_size"),
            (
                config(r#"{"kind": "gru", "input_size": 1, "hidden_size": 2, "proj_size": 1}"#),
                "LSTM",
            ),
            (config(r#"{"kind": "mgu", "input_size": 1, "hidden_size": 2}"#), "unknown variant"),
            (
                config(r#"{"kind": "gru", "input_size": 1, "hidden_size": 2, "dropout": 2}"#),
                "dropout",
            ),
            (config(r#"{"input_size": 1, "hidden_size": 2}"#), "missing field `kind`"),
        ] {
            assert!(found.contains(want), "{found}, expected {want}");
        }
        let one = r#"{"shape": [1, 1, 1], "data": [0]}"#;
        let two = r#"{"shape": [1, 2, 1], "data": [0, 0]}"#;
        let state = from_str::<State>(&format!(r#"{{"h": {one}, "c": {two}}}"#)).map_err(error);
        assert!(state.expect_err("other rows").contains("same axes"), "h and c");
    }
}
