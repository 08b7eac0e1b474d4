//! A check of a file's structure, before anything of it is allocated.
//!
//! The library's decoder calls itself for each message in a message, and keeps the last of two
//! messages where Protocol Buffers merges them. This check bounds the depth and the number of
//! messages, and refuses files that the decoder would read otherwise than they mean.

use super::wire::Wire;

/// The most messages in messages. A body of a node takes three.
const MOST_DEPTH: usize = 64;

/// The most messages in a file.
const MOST_MESSAGES: usize = 1 << 20;

/// The most bytes of memory that a decoded message takes, besides its fields: its structure and its
/// names in the maps of a graph.
const MESSAGE_SIZE: usize = 2048;

/// A list that grows by doubling holds its values up to three times while it moves.
const GROWTH: usize = 3;

/// The messages of `onnx.proto` that are decoded, and functions, which are only searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    Entry,
    Opset,
    ValueInfo,
    Type,
    TensorType,
    Sequence,
    Shape,
    Dimension,
    Function,
    NodeOfFunction,
}

/// The content of a field that has a length.
enum Content {
    /// One message.
    One(Message),
    /// A message of several.
    Many(Message),
    /// Numbers of any length, and the bytes that one of them takes in memory.
    Varints(usize),
    /// Numbers of this size in bytes.
    Fixed(usize),
    /// Numbers that the decoder expects one by one; the name of the field.
    Single(&'static str),
    /// The name of an operator in a function.
    Operator,
    /// A field whose neglect would change the meaning.
    Refused(&'static str),
    /// Bytes, text, or a field that is not read.
    Bytes,
}

fn content(message: Message, field: u64) -> Content {
    use Content::{Bytes, Fixed, Many, One, Operator, Refused, Single, Varints};
    match (message, field) {
        (Message::Model, 7) | (Message::Attribute, 6) => One(Message::Graph),
        (Message::Model, 8) => Many(Message::Opset),
        (Message::Model, 14) | (Message::Tensor, 13) => Many(Message::Entry),
        (Message::Model, 25) => Many(Message::Function),
        (Message::Graph, 1) => Many(Message::Node),
        (Message::Graph, 5) => Many(Message::Tensor),
        (Message::Graph, 11..=13) => Many(Message::ValueInfo),
        (Message::Node, 5) => Many(Message::Attribute),
        (Message::Attribute, 5) => One(Message::Tensor),
        (Message::Attribute, 7) => Single("floats of an attribute"),
        (Message::Attribute, 8) => Single("ints of an attribute"),
        (Message::Attribute, 21) => {
            Refused("an attribute that refers to a function's, outside of a function")
        }
        (Message::Tensor, 1) => Single("dims of a tensor"),
        (Message::Tensor, 3) => Refused("a tensor in segments"),
        (Message::Tensor, 4) => Fixed(4),
        (Message::Tensor, 5) => Varints(4),
        (Message::Tensor, 7) => Varints(8),
        (Message::Tensor, 10) => Fixed(8),
        (Message::ValueInfo, 2) | (Message::Sequence, 1) => One(Message::Type),
        (Message::Type, 1) => One(Message::TensorType),
        (Message::Type, 4) => One(Message::Sequence),
        (Message::TensorType, 2) => One(Message::Shape),
        (Message::Shape, 1) => Many(Message::Dimension),
        (Message::Function, 7) => Many(Message::NodeOfFunction),
        (Message::NodeOfFunction, 4) => Operator,
        _ => Bytes,
    }
}

/// A message whose fields are being checked.
struct Open {
    message: Message,
    /// The position of the first byte after it.
    end: usize,
    /// The bits of its fields [`Content::One`] so far.
    found: u32,
}

/// The facts of a file that are known before it is decoded.
#[derive(Debug, Default)]
pub struct Survey {
    /// The recurrent operators in functions of the model, which are not read.
    pub in_functions: Vec<String>,
    /// The most bytes of memory that decoding takes.
    pub decoded: usize,
}

/// Checks a file.
///
/// # Errors
/// A message with the position of the damage, or with the part that is not read.
pub fn survey(bytes: &[u8]) -> Result<Survey, String> {
    let mut wire = Wire::new(bytes);
    let mut open = vec![Open { message: Message::Model, end: bytes.len(), found: 0 }];
    let (mut messages, mut found) = (0, Survey::default());
    while let Some(current) = open.last_mut() {
        if wire.at() == current.end {
            open.pop();
            continue;
        }
        let start = wire.at();
        let damaged = || format!("the ONNX model is damaged or not complete at byte {start}");
        let tag = wire.varint().ok_or_else(damaged)?;
        let (field, kind) = (tag >> 3, tag & 7);
        let count = match kind {
            0 => wire.varint().map(|_| 0),
            1 => Some(8),
            2 => wire.varint().and_then(|count| usize::try_from(count).ok()),
            5 => Some(4),
            _ => None,
        };
        let body = wire.at();
        let end = count.and_then(|count| body.checked_add(count)).ok_or_else(damaged)?;
        if field == 0 || end > current.end {
            return Err(damaged());
        }
        let content = if kind == 2 { content(current.message, field) } else { Content::Bytes };
        let inner = match content {
            Content::One(message) => {
                let bit = 1 << field;
                if current.found & bit != 0 {
                    return Err(format!(
                        "a {:?} has its {message:?} twice at byte {start}; save the model again",
                        current.message
                    ));
                }
                current.found |= bit;
                Some(message)
            }
            Content::Many(message) => Some(message),
            _ => None,
        };
        if let Some(message) = inner {
            messages += 1;
            found.decoded = found.decoded.saturating_add(MESSAGE_SIZE);
            if open.len() == MOST_DEPTH {
                return Err(format!(
                    "the bodies of nodes are nested deeper than {MOST_DEPTH} messages"
                ));
            }
            if messages > MOST_MESSAGES {
                return Err(format!(
                    "the model has more than {MOST_MESSAGES} nodes, attributes and tensors"
                ));
            }
            open.push(Open { message, end, found: 0 });
            continue;
        }
        let inside = wire.take(end - body).ok_or_else(damaged)?;
        let ends = || inside.iter().filter(|&&byte| byte < 0x80).count();
        found.decoded = found.decoded.saturating_add(match content {
            Content::Varints(size) => ends().saturating_mul(GROWTH * size),
            Content::Fixed(_) => inside.len().saturating_mul(GROWTH),
            _ => inside.len(),
        });
        match content {
            Content::Varints(_) if !are_varints(inside) => return Err(damaged()),
            Content::Fixed(size) if inside.len() % size != 0 => return Err(damaged()),
            Content::Single(name) => {
                return Err(format!(
                    "the model packs the {name}, which is not read; save it again in Python: \
                     onnx.save(onnx.load(\"OLD\"), \"NEW\")"
                ));
            }
            Content::Refused(what) => return Err(format!("{what} is not read")),
            Content::Operator if matches!(inside, b"RNN" | b"GRU" | b"LSTM") => {
                found.in_functions.push(String::from_utf8_lossy(inside).into_owned());
            }
            _ => {}
        }
    }
    Ok(found)
}

/// Whether bytes are whole numbers of up to 64 bits.
fn are_varints(bytes: &[u8]) -> bool {
    let mut wire = Wire::new(bytes);
    while wire.at() < bytes.len() {
        if wire.varint().is_none() {
            return false;
        }
    }
    true
}
