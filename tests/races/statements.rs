//! The statements of WGSL.

use std::rc::Rc;

use naga::{AtomicFunction, Barrier, Block, GatherMode, ScalarKind, Span, Statement, TypeInner};

use crate::machine::{Frame, Machine, Mask, Root, Value, either};
use crate::memory::Touch;
use crate::types::kind_of;

impl<'a> Machine<'a> {
    /// Runs a block, and returns the invocations that reach its end.
    pub fn block(
        &mut self,
        frame: &mut Frame<'a>,
        block: &'a Block,
        mut mask: Mask,
    ) -> Result<Mask, String> {
        for (statement, span) in block.span_iter() {
            if !mask.contains(&true) {
                break;
            }
            mask = self.statement(frame, (statement, *span), mask)?;
        }
        Ok(mask)
    }

    fn statement(
        &mut self,
        frame: &mut Frame<'a>,
        (statement, span): (&'a Statement, Span),
        mask: Mask,
    ) -> Result<Mask, String> {
        let none = || vec![false; mask.len()];
        match statement {
            Statement::Emit(range) => {
                for expression in range.clone() {
                    let value = self.evaluate(frame, expression, &mask)?;
                    frame.values[expression.index()] = Some(value);
                }
            }
            Statement::Block(block) => return self.block(frame, block, mask),
            Statement::If { condition, accept, reject } => {
                let (holds, fails) = self.split(frame, *condition, &mask)?;
                let accepted = self.block(frame, accept, holds)?;
                let rejected = self.block(frame, reject, fails)?;
                return Ok(either(&accepted, &rejected));
            }
            Statement::Loop { body, continuing, break_if } => {
                return self.repeat(frame, (body, continuing), *break_if, mask);
            }
            Statement::Break => {
                frame.broke = either(&frame.broke, &mask);
                return Ok(none());
            }
            Statement::Continue => {
                frame.continued = either(&frame.continued, &mask);
                return Ok(none());
            }
            Statement::Return { value } => {
                if let Some(value) = value {
                    let words = self.words(frame, *value, &mask)?;
                    let lanes = self.lanes;
                    let result = frame.result.as_mut().ok_or("a function without a result")?;
                    for (at, word) in result.iter_mut().enumerate() {
                        if mask[at % lanes] {
                            *word = words[at];
                        }
                    }
                }
                return Ok(none());
            }
            Statement::ControlBarrier(kind) => self.barrier(*kind, &mask, span)?,
            Statement::Store { pointer, value } => {
                let words = self.words(frame, *value, &mask)?;
                let touch = match self.pointee(frame, *pointer) {
                    TypeInner::Atomic(_) => Touch::ATOMIC_STORE,
                    _ => Touch::Write,
                };
                let pointer = self.pointer(frame, *pointer, &mask)?;
                self.store(frame, &pointer, &words, touch, (&mask, span))?;
            }
            Statement::Atomic { pointer, fun, value, result } => {
                let kind = kind_of(self.pointee(frame, *pointer));
                let operand = self.words(frame, *value, &mask)?;
                let pointer = self.pointer(frame, *pointer, &mask)?;
                let Root::Global(global) = pointer.root else {
                    return Err("an atomic of a function".to_owned());
                };
                let (change, number) = atomic(fun, kind).ok_or("an unknown atomic")?;
                let touch = Touch::Atomic { kind: number, writes: true };
                let mut before = vec![0; self.lanes];
                for lane in (0..self.lanes).filter(|&lane| mask[lane]) {
                    let offset = pointer.offsets[lane] as usize;
                    let (place, access) = self.touch(global, offset, lane, touch, span)?;
                    let variable = &mut self.variables[global];
                    before[lane] = variable.words[place];
                    variable.write(place, &access, change(before[lane], operand[lane]));
                }
                if let Some(result) = result {
                    frame.values[result.index()] = Some(Value::Words(Rc::new(before)));
                }
            }
            Statement::WorkGroupUniformLoad { pointer, result } => {
                self.barrier(Barrier::WORK_GROUP, &mask, span)?;
                let size = self.size_of(self.pointee(frame, *result));
                let pointer = self.pointer(frame, *pointer, &mask)?;
                let words = self.load(frame, &pointer, size, Touch::Read, (&mask, span))?;
                frame.values[result.index()] = Some(Value::Words(Rc::new(words)));
                self.barrier(Barrier::WORK_GROUP, &mask, span)?;
            }
            Statement::Call { function, arguments, result } => {
                let argument = |argument: &_| self.value(frame, *argument, &mask);
                let arguments = arguments.iter().map(argument).collect::<Result<_, _>>()?;
                let program = self.program;
                let info = &program.info[*function];
                let function = &program.module.functions[*function];
                let returned = self.call(function, info, arguments, &mask)?;
                if let (Some(result), Some(words)) = (result, returned) {
                    frame.values[result.index()] = Some(Value::Words(Rc::new(words)));
                }
            }
            Statement::SubgroupGather { mode: GatherMode::ShuffleXor(by), argument, result } => {
                let words = self.words(frame, *argument, &mask)?;
                let by = self.words(frame, *by, &mask)?;
                let lanes = self.lanes;
                // Subgroups are aligned, and a partner is in the same one.
                let from =
                    |at: usize| at / lanes * lanes + ((at % lanes) ^ by[at % lanes] as usize);
                let words = (0..words.len()).map(|at| words[from(at)]).collect();
                frame.values[result.index()] = Some(Value::Words(Rc::new(words)));
            }
            other => return Err(format!("{other:?} is not interpreted")),
        }
        Ok(mask)
    }
}

/// A function of a word and an operand.
type Change = fn(u32, u32) -> u32;

/// The function of an atomic, and the number of its kind.
fn atomic(fun: &AtomicFunction, kind: ScalarKind) -> Option<(Change, u8)> {
    match (fun, kind) {
        (AtomicFunction::Add, _) => Some((u32::wrapping_add, 2)),
        (AtomicFunction::Min, ScalarKind::Uint) => Some((u32::min, 3)),
        (AtomicFunction::Max, ScalarKind::Uint) => Some((u32::max, 4)),
        _ => None,
    }
}
