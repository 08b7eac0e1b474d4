//! Pickles as `torch.save` writes them.
//!
//! A pickle is a program for a small machine with a stack and a memory. This machine knows the
//! operations that `torch.save` writes, at every protocol from 2 on, and refuses all others. It
//! runs no code and reads no other file.

use std::collections::HashMap;

use super::value::{Id, Value, Values};
use super::{Refusal, globals, rebuild};
use crate::error::Error;
use crate::tensor::{Growth, grow};

/// The most values that are open at a time.
const DEEPEST: usize = 1000;

/// Reads a pickle. The result is its values, and the one that is the whole.
///
/// # Errors
/// A message when the pickle is damaged, or has an operation or a name that is not known;
/// [`Refusal::Memory`] when the host's memory does not hold its values.
pub fn read(bytes: &[u8]) -> Result<(Values<'_>, Id), Refusal> {
    // A state dict has some 200 bytes for each tensor.
    const MOST: usize = 32 << 20;
    if bytes.len() > MOST {
        return Err(format!("the pickle has {} bytes, at most {MOST} are read", bytes.len()).into());
    }
    let mut machine = Machine {
        bytes,
        at: 0,
        values: Values::default(),
        stack: Vec::new(),
        marks: Vec::new(),
        memory: HashMap::new(),
        listed: 0,
    };
    let mut growth = Growth::default();
    loop {
        machine.room(&mut growth)?;
        if let Some(whole) = machine.step()? {
            return Ok((machine.values, whole));
        }
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Values<'a>,
    stack: Vec<Id>,
    /// The heights of the stack that were marked.
    marks: Vec<usize>,
    memory: HashMap<usize, Id>,
    /// The number of values that lists have taken from the stack.
    listed: usize,
}

impl<'a> Machine<'a> {
    /// Makes room for one operation, which adds one value at most.
    fn room(&mut self, growth: &mut Growth) -> Result<(), Error> {
        const WHAT: &str = "the values of a pickle";
        self.values.grow(WHAT)?;
        grow(&mut self.stack, 1, WHAT)?;
        // The least allocation of a list, an item while its list grows, and an entry while the
        // memory grows.
        let small = 32 * self.values.len() + 24 * self.listed + 96 * self.memory.len();
        growth.reaches(small, WHAT)
    }

    /// Runs one operation. Returns the result after the last.
    fn step(&mut self) -> Result<Option<Id>, String> {
        let at = self.at;
        match self.byte()? {
            // PROTO and FRAME, which say nothing about the values.
            0x80 => _ = self.byte()?,
            0x95 => _ = self.take(8)?,
            b'N' => self.push(Value::None)?,
            0x88 => self.push(Value::Bool(true))?,
            0x89 => self.push(Value::Bool(false))?,
            b'K' => self.integer(1)?,
            b'M' => self.integer(2)?,
            b'J' => {
                let bytes = self.take(4)?;
                let value = i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                self.push(Value::Int(value.into()))?;
            }
            0x8a => self.long(1)?,
            0x8b => self.long(4)?,
            b'G' => {
                let bytes = self.take(8)?.iter().fold(0, |bits, &byte| bits << 8 | u64::from(byte));
                self.push(Value::Float(f64::from_bits(bytes)))?;
            }
            0x8c => self.text(1)?,
            b'X' => self.text(4)?,
            0x8d => self.text(8)?,
            b'C' => self.skip(1)?,
            b'B' => self.skip(4)?,
            0x8e => self.skip(8)?,
            b')' => self.push(Value::Tuple(Vec::new()))?,
            b']' => self.push(Value::List(Vec::new()))?,
            b'}' => self.push(Value::Dict(Vec::new()))?,
            b'(' if self.marks.len() < DEEPEST => self.marks.push(self.stack.len()),
            b'(' => return Err(format!("the pickle nests more than {DEEPEST} values")),
            b't' => {
                let items = self.marked()?;
                self.push(Value::Tuple(items))?;
            }
            count @ 0x85..=0x87 => {
                let items = self.pop_many(usize::from(count - 0x84))?;
                self.push(Value::Tuple(items))?;
            }
            b'a' => {
                let items = self.pop_many(1)?;
                self.append(items)?;
            }
            b'e' => {
                let items = self.marked()?;
                self.append(items)?;
            }
            b's' => {
                let items = self.pop_many(2)?;
                self.set(&items)?;
            }
            b'u' => {
                let items = self.marked()?;
                self.set(&items)?;
            }
            b'q' => {
                let index = self.size(1)?;
                self.keep(index)?;
            }
            b'r' => {
                let index = self.size(4)?;
                self.keep(index)?;
            }
            0x94 => self.keep(self.memory.len())?,
            b'h' => {
                let index = self.size(1)?;
                self.recall(index)?;
            }
            b'j' => {
                let index = self.size(4)?;
                self.recall(index)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Value::Global(globals::find(module, name)?))?;
            }
            0x93 => {
                let name = self.pop()?;
                let module = self.pop()?;
                let names = self.values.text(module).zip(self.values.text(name));
                let (module, name) = names.ok_or("the pickle names a class by no text")?;
                self.push(Value::Global(globals::find(module, name)?))?;
            }
            b'Q' => {
                let id = self.pop()?;
                let storage = rebuild::storage(&mut self.values, id)?;
                self.push_id(storage)?;
            }
            b'R' => {
                let arguments = self.pop()?;
                let function = self.pop()?;
                let function = self.values.global(function).ok_or_else(|| {
                    format!("the pickle calls {}", self.values.get(function).describe())
                })?;
                let result = rebuild::call(&mut self.values, function, arguments)?;
                self.push_id(result)?;
            }
            // The attributes of a state dict, `_metadata`, are the versions of its modules.
            b'b' => {
                self.pop()?;
                let built = self.top()?;
                if !matches!(self.values.get(built), Value::Dict(_)) {
                    let built = self.values.get(built).describe();
                    return Err(format!("the pickle sets attributes of {built}"));
                }
            }
            b'.' => return self.pop().map(Some),
            other => {
                return Err(format!(
                    "the pickle has the operation {} at byte {at}, which torch.save never writes",
                    name_of(other)
                ));
            }
        }
        Ok(None)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..count).ok_or("the pickle ends in the middle of a value")?;
        self.at += count;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    /// Reads a number of `bytes` bytes, without sign.
    fn size(&mut self, bytes: usize) -> Result<usize, String> {
        let bytes = self.take(bytes)?;
        let value = bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte));
        usize::try_from(value).map_err(|_| format!("the pickle has a length of {value}"))
    }

    /// Reads up to the end of the line.
    fn line(&mut self) -> Result<&'a str, String> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|&byte| byte == b'\n');
        let line = self.take(end.ok_or("the pickle ends in the middle of a name")?)?;
        self.at += 1;
        std::str::from_utf8(line).map_err(|_| "the pickle has a name that is not UTF-8".to_owned())
    }

    fn integer(&mut self, bytes: usize) -> Result<(), String> {
        let value = self.size(bytes)?;
        self.push(Value::Int(value as i64))
    }

    /// Pushes a number in two's complement, after its length of `bytes` bytes.
    fn long(&mut self, bytes: usize) -> Result<(), String> {
        let len = self.size(bytes)?;
        let bytes = self.take(len)?;
        if bytes.len() > 8 {
            return self.push(Value::Other("a large integer"));
        }
        let negative = bytes.last().is_some_and(|&byte| byte >= 0x80);
        let fill = if negative { -1 } else { 0 };
        let value = bytes.iter().rev().fold(fill, |value, &byte| value << 8 | i64::from(byte));
        self.push(Value::Int(value))
    }

    /// Pushes a text, after its length of `bytes` bytes.
    fn text(&mut self, bytes: usize) -> Result<(), String> {
        let len = self.size(bytes)?;
        let text = std::str::from_utf8(self.take(len)?);
        self.push(Value::Text(text.map_err(|_| "the pickle has a text that is not UTF-8")?))
    }

    /// Skips bytes, after their length of `bytes` bytes.
    fn skip(&mut self, bytes: usize) -> Result<(), String> {
        let len = self.size(bytes)?;
        self.take(len)?;
        self.push(Value::Other("bytes"))
    }

    fn push(&mut self, value: Value<'a>) -> Result<(), String> {
        let id = self.values.add(value)?;
        self.push_id(id)
    }

    fn push_id(&mut self, id: Id) -> Result<(), String> {
        if self.stack.len() >= Values::MOST {
            return Err("the pickle has too many values on its stack".to_owned());
        }
        self.stack.push(id);
        Ok(())
    }

    /// Returns the height of the stack at the last mark. Values below it are out of reach.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Id, String> {
        let above = self.stack.get(self.floor()..).and_then(<[Id]>::last);
        above.copied().ok_or_else(|| "the pickle takes a value from an empty stack".to_owned())
    }

    fn pop(&mut self) -> Result<Id, String> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    /// Takes the last values, in their order.
    fn pop_many(&mut self, count: usize) -> Result<Vec<Id>, String> {
        let start = self.stack.len().checked_sub(count).filter(|&start| start >= self.floor());
        let start = start.ok_or("the pickle takes a value from an empty stack")?;
        self.listed += count;
        Ok(self.stack.split_off(start))
    }

    /// Takes the values since the last mark.
    fn marked(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or("the pickle ends a group that it did not begin")?;
        let items = self.stack.split_off(mark.min(self.stack.len()));
        self.listed += items.len();
        Ok(items)
    }

    fn append(&mut self, items: Vec<Id>) -> Result<(), String> {
        let list = self.top()?;
        match self.values.get_mut(list) {
            Value::List(list) => {
                list.extend(items);
                Ok(())
            }
            other => Err(format!("the pickle appends to {}", other.describe())),
        }
    }

    fn set(&mut self, items: &[Id]) -> Result<(), String> {
        let dict = self.top()?;
        match self.values.get_mut(dict) {
            Value::Dict(pairs) if items.len().is_multiple_of(2) => {
                pairs.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1])));
                Ok(())
            }
            other => Err(format!("the pickle sets items of {}", other.describe())),
        }
    }

    fn keep(&mut self, index: usize) -> Result<(), String> {
        let top = self.top()?;
        if self.memory.len() >= Values::MOST {
            return Err("the pickle keeps too many values".to_owned());
        }
        self.memory.insert(index, top);
        Ok(())
    }

    fn recall(&mut self, index: usize) -> Result<(), String> {
        let id =
            self.memory.get(&index).ok_or("the pickle recalls a value that it did not keep")?;
        self.push_id(*id)
    }
}

/// Returns the name of an operation that is refused.
fn name_of(operation: u8) -> String {
    let name = match operation {
        b'0' => "POP",
        b'1' => "POP_MARK",
        b'2' => "DUP",
        b'P' => "PERSID",
        b'i' => "INST",
        b'o' => "OBJ",
        0x81 => "NEWOBJ",
        0x92 => "NEWOBJ_EX",
        0x82..=0x84 => "EXT",
        b'I' | b'L' | b'F' | b'S' | b'V' | b'T' | b'U' => "of a Python 2 literal",
        b'p' | b'g' | b'l' | b'd' => "of protocol 0",
        0x8f..=0x91 => "of a set",
        0x96 => "BYTEARRAY8",
        0x97 | 0x98 => "of an outside buffer",
        _ => return format!("{operation:#04x}"),
    };
    name.to_owned()
}
