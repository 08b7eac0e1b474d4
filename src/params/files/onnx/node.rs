//! One recurrent node: its operator, attributes, sizes and tensors.

use std::path::Path;

use rten_onnx::onnx::{DataType, NodeProto};

use super::activation;
use super::attributes::Attributes;
use super::folded::constant;
use super::graphs::{Graphs, Place, operator};
use super::operators::{Direction, Operator};
use super::states::are_zeros;
use super::tensors::Constant;
use crate::params::variant::ActivationFunction;

/// An input of a node that need not be in the file.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Operand {
    /// The node has no such input.
    Absent,
    /// A tensor of the file.
    Constant(Constant),
    /// Zeros: a tensor of the file, or one that exporters make from the size of the batch.
    Zeros(Option<Constant>),
    /// The name of a value that the caller gives, or that another node computes.
    Given(String),
}

/// A node RNN, GRU or LSTM.
///
/// D is the number of directions, G the number of gates, H `hidden_size` and I `input_size`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RecurrentNode {
    /// The operator.
    pub operator: Operator,
    /// The direction.
    pub direction: Direction,
    /// Features of X.
    pub input_size: usize,
    /// Features of one direction of Y.
    pub hidden_size: usize,
    /// Whether X, Y and the states have the batch first: `layout` is 1.
    pub batch_first: bool,
    /// The functions of each direction, in ONNX's order f, g, h.
    pub activations: Vec<Vec<ActivationFunction>>,
    /// The bound of the gates' sums before their functions, above 0.
    pub clip: Option<f32>,
    /// Whether the forget gate of an LSTM is 1 − i.
    pub input_forget: bool,
    /// Whether the reset gate of a GRU comes after the product, as in PyTorch.
    pub linear_before_reset: bool,
    /// `[D, G·H, I]`.
    pub w: Constant,
    /// `[D, G·H, H]`.
    pub r: Constant,
    /// `[D, 2·G·H]`: the biases of W, then those of R.
    pub b: Option<Constant>,
    /// `[D, 3·H]`: the weights of the cell state in i, o and f of an LSTM.
    pub p: Option<Constant>,
    /// `[B]`: the valid steps of each row.
    pub sequence_lens: Operand,
    /// `[D, B, H]`, or `[B, D, H]` with the batch first.
    pub initial_h: Operand,
    /// The same for the cell state of an LSTM.
    pub initial_c: Operand,
}

impl RecurrentNode {
    /// Reads the node of a place. `version` is the model's operator set.
    ///
    /// # Errors
    /// A message that names the attribute or the input that cannot be honoured.
    pub(super) fn read(
        model: &Path,
        graphs: &Graphs,
        place: Place,
        version: i64,
    ) -> Result<Self, String> {
        let node = graphs.node(place);
        let operator = Operator::named(operator(node)).ok_or("expected RNN, GRU or LSTM")?;
        if node.input.len() > operator.inputs() {
            let (most, found) = (operator.inputs(), node.input.len());
            return Err(format!("{} has {most} inputs, but the node has {found}", operator.name()));
        }
        let attributes = Attributes::new(node, version)?;
        let direction = attributes.text("direction")?.unwrap_or("forward");
        let direction = Direction::named(direction).ok_or_else(|| {
            format!(
                "attribute 'direction' is '{direction}': expected forward, reverse or bidirectional"
            )
        })?;
        // It only says whether the output Y may be absent.
        attributes.flag("output_sequence")?;
        let mut tensors = Tensors { model, graphs, graph: place.graph, node, dtype: None };
        let (w, r) = (tensors.required(1, "W")?, tensors.required(2, "R")?);
        let sizes = Sizes::of(operator, direction, &w, &r, attributes.int("hidden_size")?)?;
        let (b, p) = (tensors.optional(3, "B")?, tensors.optional(7, "P")?);
        let (directions, rows, hidden) = (direction.count(), sizes.rows, sizes.hidden);
        for (role, tensor, shape) in
            [("B", &b, [directions, 2 * rows]), ("P", &p, [directions, 3 * hidden])]
        {
            if let Some(tensor) = tensor {
                expect_shape(role, tensor, &shape)?;
            }
        }
        let (initial_h, initial_c) =
            (tensors.state(5, "initial_h")?, tensors.state(6, "initial_c")?);
        let batch_first = attributes.flag("layout")?;
        for (role, state) in [("initial_h", &initial_h), ("initial_c", &initial_c)] {
            sizes.check_state(role, state, batch_first)?;
        }
        Ok(Self {
            operator,
            direction,
            input_size: sizes.input,
            hidden_size: hidden,
            batch_first,
            activations: functions(operator, direction, &attributes)?,
            clip: clip(&attributes)?,
            input_forget: attributes.flag("input_forget")?,
            linear_before_reset: attributes.flag("linear_before_reset")?,
            w,
            r,
            b,
            p,
            sequence_lens: tensors.lengths()?,
            initial_h,
            initial_c,
        })
    }

    /// Returns the attributes that differ from their defaults, by ONNX's names.
    pub fn attributes(&self) -> Vec<(&'static str, String)> {
        let default = vec![self.operator.default_functions(); self.direction.count()];
        let functions = self.activations.iter().flatten().map(ToString::to_string);
        let one = |is_there: bool| is_there.then(|| "1".to_owned());
        let attributes = [
            (
                "direction",
                (self.direction != Direction::Forward).then(|| self.direction.name().to_owned()),
            ),
            ("layout", one(self.batch_first)),
            (
                "activations",
                (self.activations != default).then(|| functions.collect::<Vec<_>>().join(", ")),
            ),
            ("clip", self.clip.map(|clip| clip.to_string())),
            ("input_forget", one(self.input_forget)),
            ("linear_before_reset", one(self.linear_before_reset)),
        ];
        attributes.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

fn expect_shape(role: &str, tensor: &Constant, expected: &[usize]) -> Result<(), String> {
    if tensor.shape == expected {
        return Ok(());
    }
    Err(format!("{role} '{}' has shape {:?}: expected {expected:?}", tensor.name, tensor.shape))
}

fn clip(attributes: &Attributes<'_>) -> Result<Option<f32>, String> {
    match attributes.float("clip")? {
        Some(clip) if !(clip.is_finite() && clip > 0.0) => {
            Err(format!("attribute 'clip' is {clip}: expected a finite number above 0"))
        }
        clip => Ok(clip),
    }
}

/// Reads the functions of each direction.
fn functions(
    operator: Operator,
    direction: Direction,
    attributes: &Attributes<'_>,
) -> Result<Vec<Vec<ActivationFunction>>, String> {
    let default = operator.default_functions();
    let alphas = attributes.floats("activation_alpha")?;
    let betas = attributes.floats("activation_beta")?;
    let names = attributes.texts("activations")?.filter(|names| !names.is_empty());
    let Some(names) = names else { return Ok(vec![default; direction.count()]) };
    let mut functions = activation::read(&names, alphas, betas)?;
    let expected = default.len() * direction.count();
    // The specification's default of an RNN has two functions in any direction.
    if operator == Operator::Rnn && expected == 1 && functions == [default[0]; 2] {
        functions.truncate(1);
    }
    if functions.len() != expected {
        return Err(format!(
            "attribute 'activations' has {} functions: expected {expected}",
            functions.len()
        ));
    }
    Ok(functions.chunks(default.len()).map(<[ActivationFunction]>::to_vec).collect())
}

/// The sizes of a node.
struct Sizes {
    directions: usize,
    rows: usize,
    hidden: usize,
    input: usize,
}

impl Sizes {
    fn of(
        operator: Operator,
        direction: Direction,
        w: &Constant,
        r: &Constant,
        hidden_size: Option<i64>,
    ) -> Result<Self, String> {
        let directions = direction.count();
        let (&[_, _, input], &[_, _, hidden]) = (w.shape.as_slice(), r.shape.as_slice()) else {
            return Err(format!(
                "W '{}' and R '{}' have shapes {:?} and {:?}: expected [directions, gates x \
                 hidden_size, input_size] and [directions, gates x hidden_size, hidden_size]",
                w.name, r.name, w.shape, r.shape
            ));
        };
        if input == 0 || hidden == 0 {
            return Err(format!(
                "input_size is {input} and hidden_size is {hidden}: expected 1 or more"
            ));
        }
        let rows = operator.kind().gate_count().saturating_mul(hidden);
        expect_shape("W", w, &[directions, rows, input])?;
        expect_shape("R", r, &[directions, rows, hidden])?;
        if hidden_size.is_some_and(|size| usize::try_from(size) != Ok(hidden)) {
            return Err(format!(
                "attribute 'hidden_size' is {}: expected {hidden}, the last size of R '{}'",
                hidden_size.unwrap_or_default(),
                r.name
            ));
        }
        Ok(Self { directions, rows, hidden, input })
    }

    /// Checks a state whose shape is known. The batch is not known.
    fn check_state(&self, role: &str, state: &Operand, batch_first: bool) -> Result<(), String> {
        let (Operand::Constant(state) | Operand::Zeros(Some(state))) = state else {
            return Ok(());
        };
        let axis = usize::from(batch_first);
        if let [_, _, hidden] = *state.shape.as_slice()
            && [state.shape[axis], hidden] == [self.directions, self.hidden]
        {
            return Ok(());
        }
        let mut expected = [self.directions.to_string(), "batch".to_owned()];
        expected.rotate_left(axis);
        Err(format!(
            "{role} '{}' has shape {:?}: expected [{}, {}]",
            state.name,
            state.shape,
            expected.join(", "),
            self.hidden
        ))
    }
}

/// The tensors that a node reads. All have one type.
struct Tensors<'a> {
    model: &'a Path,
    graphs: &'a Graphs,
    graph: usize,
    node: &'a NodeProto,
    dtype: Option<DataType>,
}

impl<'a> Tensors<'a> {
    fn name(&self, input: usize) -> Option<&'a str> {
        self.node.input.get(input).map(String::as_str).filter(|name| !name.is_empty())
    }

    fn optional(&mut self, input: usize, role: &str) -> Result<Option<Constant>, String> {
        let Some(name) = self.name(input) else { return Ok(None) };
        let found = constant(self.model, self.graphs, self.graph, name)
            .map_err(|error| format!("{role} {error}"))?;
        self.check_type(role, &found)?;
        Ok(Some(found))
    }

    fn required(&mut self, input: usize, role: &str) -> Result<Constant, String> {
        self.optional(input, role)?.ok_or_else(|| format!("the input {role} is missing"))
    }

    fn check_type(&mut self, role: &str, found: &Constant) -> Result<(), String> {
        let dtype = found.dtype;
        if ![DataType::FLOAT, DataType::FLOAT16, DataType::BFLOAT16].contains(&dtype) {
            return Err(format!(
                "{role} '{}' has type {dtype}: expected FLOAT, FLOAT16 or BFLOAT16",
                found.name
            ));
        }
        match self.dtype.replace(dtype) {
            Some(other) if other != dtype => Err(format!(
                "{role} '{}' has type {dtype}, but W has {other}: expected one type",
                found.name
            )),
            _ => Ok(()),
        }
    }

    /// A value that another node may compute.
    fn operand(&self, input: usize) -> Operand {
        match self.name(input) {
            None => Operand::Absent,
            Some(name) => constant(self.model, self.graphs, self.graph, name)
                .map_or_else(|_| Operand::Given(name.to_owned()), Operand::Constant),
        }
    }

    fn state(&mut self, input: usize, role: &str) -> Result<Operand, String> {
        let operand = self.operand(input);
        if let Operand::Constant(found) = &operand {
            self.check_type(role, found)?;
        }
        let name = self.name(input).unwrap_or_default();
        Ok(match operand {
            Operand::Constant(found) if are_zeros(self.model, self.graphs, self.graph, name) => {
                Operand::Zeros(Some(found))
            }
            Operand::Given(_) if are_zeros(self.model, self.graphs, self.graph, name) => {
                Operand::Zeros(None)
            }
            other => other,
        })
    }

    fn lengths(&self) -> Result<Operand, String> {
        let operand = self.operand(4);
        match &operand {
            Operand::Constant(found)
                if found.dtype != DataType::INT32 || found.shape.len() != 1 =>
            {
                Err(format!(
                    "sequence_lens '{}' has type {} and shape {:?}: expected INT32 and [batch]",
                    found.name, found.dtype, found.shape
                ))
            }
            _ => Ok(operand),
        }
    }
}
