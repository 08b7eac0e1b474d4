//! The expressions of WGSL.

use std::rc::Rc;

use naga::{
    Expression, Handle, Literal, MathFunction, RelationalFunction, ScalarKind, Type, TypeInner,
};

use crate::machine::{Frame, Machine, Mask, Pointer, Root, Value};
use crate::memory::Touch;
use crate::types::{kind_of, length_of};
use crate::values;

impl<'a> Machine<'a> {
    /// The value of an expression. Statements have evaluated all but constants and variables.
    pub fn value(
        &mut self,
        frame: &mut Frame<'a>,
        expression: Handle<Expression>,
        mask: &Mask,
    ) -> Result<Value, String> {
        if let Some(value) = &frame.values[expression.index()] {
            return Ok(value.clone());
        }
        let value = self.evaluate(frame, expression, mask)?;
        frame.values[expression.index()] = Some(value.clone());
        Ok(value)
    }

    pub fn evaluate(
        &mut self,
        frame: &mut Frame<'a>,
        expression: Handle<Expression>,
        mask: &Mask,
    ) -> Result<Value, String> {
        let function = frame.function;
        let words = match &function.expressions[expression] {
            Expression::FunctionArgument(index) => {
                return Ok(frame.arguments[*index as usize].clone());
            }
            Expression::GlobalVariable(global) => {
                return Ok(self.start(Root::Global(global.index())));
            }
            Expression::LocalVariable(local) => return Ok(self.start(Root::Local(*local))),
            Expression::Access { base, index } => {
                let index = self.words(frame, *index, mask)?;
                return self.part(frame, *base, &index, (expression, mask));
            }
            Expression::AccessIndex { base, index } => {
                let index = vec![*index; self.lanes];
                return self.part(frame, *base, &index, (expression, mask));
            }
            constant @ (Expression::Literal(_)
            | Expression::Constant(_)
            | Expression::ZeroValue(_)) => {
                let words = self.constant(constant)?;
                words.iter().flat_map(|&word| vec![word; self.lanes]).collect()
            }
            Expression::Compose { components, .. } => {
                let part = |part: &Handle<Expression>| self.words(frame, *part, mask);
                let parts = components.iter().map(part).collect::<Result<Vec<_>, _>>()?;
                parts.iter().flat_map(|part| part.iter().copied()).collect()
            }
            Expression::Splat { size, value } => {
                self.words(frame, *value, mask)?.repeat(*size as usize)
            }
            Expression::Swizzle { size, vector, pattern } => {
                let words = self.words(frame, *vector, mask)?;
                let component = |&at: &naga::SwizzleComponent| self.word(&words, at as usize);
                pattern[..*size as usize].iter().flat_map(component).copied().collect()
            }
            Expression::Load { pointer } => {
                let inner = self.pointee(frame, *pointer);
                let atomic = matches!(inner, TypeInner::Atomic(_));
                let touch = if atomic { Touch::ATOMIC_LOAD } else { Touch::Read };
                let size = self.size_of(inner);
                let pointer = self.pointer(frame, *pointer, mask)?;
                let span = function.expressions.get_span(expression);
                self.load(frame, &pointer, size, touch, (mask, span))?
            }
            Expression::Unary { op, expr } => {
                let change = values::unary(*op, self.kind(frame, *expr));
                self.words(frame, *expr, mask)?.iter().map(|&word| change(word)).collect()
            }
            Expression::Binary { op, left, right } => {
                let change = values::binary(*op, self.kind(frame, *left))
                    .ok_or_else(|| format!("{op:?} is not interpreted"))?;
                let operands = [self.words(frame, *left, mask)?, self.words(frame, *right, mask)?];
                let most = operands[0].len().max(operands[1].len());
                // A scalar meets each component of a vector.
                let [left, right] = operands.map(|words| words.repeat(most / words.len()));
                left.into_iter().zip(right).map(|(a, b)| change(a, b)).collect()
            }
            Expression::Select { condition, accept, reject } => {
                let holds = self.words(frame, *condition, mask)?;
                let accept = self.words(frame, *accept, mask)?;
                let reject = self.words(frame, *reject, mask)?;
                let holds = holds.repeat(accept.len() / holds.len());
                // An invocation that is elsewhere has any word.
                let pick =
                    |(at, &holds): (usize, &u32)| if holds == 0 { reject[at] } else { accept[at] };
                holds.iter().enumerate().map(pick).collect()
            }
            Expression::Relational { fun, argument } => {
                let words = self.words(frame, *argument, mask)?;
                let of_lane = |lane: usize| words.iter().skip(lane).step_by(self.lanes);
                let holds = |lane: usize| match fun {
                    RelationalFunction::All => Ok(of_lane(lane).all(|&word| word != 0).into()),
                    RelationalFunction::Any => Ok(of_lane(lane).any(|&word| word != 0).into()),
                    other => Err(format!("{other:?} is not interpreted")),
                };
                (0..self.lanes).map(holds).collect::<Result<_, _>>()?
            }
            Expression::Math { fun, arg, arg1, arg2, .. } => {
                let mut operands = vec![self.words(frame, *arg, mask)?];
                for operand in [arg1, arg2].into_iter().flatten() {
                    operands.push(self.words(frame, *operand, mask)?);
                }
                self.math(*fun, (frame, *arg), &operands)?
            }
            Expression::As { expr, kind, convert } => {
                let from = self.kind(frame, *expr);
                let change = values::conversion(from, *kind, convert.is_none())
                    .ok_or_else(|| format!("{from:?} as {kind:?} is not interpreted"))?;
                self.words(frame, *expr, mask)?.iter().map(|&word| change(word)).collect()
            }
            other => return Err(format!("{other:?} is not interpreted")),
        };
        Ok(Value::Words(Rc::new(words)))
    }

    /// The first word of a variable.
    fn start(&self, root: Root) -> Value {
        let offsets = vec![0; self.lanes];
        Value::Pointer(Rc::new(Pointer { root, offsets, vector: None }))
    }

    /// Word `at` of a value in all invocations.
    fn word<'b>(&self, words: &'b [u32], at: usize) -> &'b [u32] {
        &words[at * self.lanes..][..self.lanes]
    }

    fn kind(&self, frame: &Frame<'a>, expression: Handle<Expression>) -> ScalarKind {
        kind_of(frame.info[expression].ty.inner_with(&self.program.module.types))
    }

    /// A part of a composite value, or of what a pointer points to.
    fn part(
        &mut self,
        frame: &mut Frame<'a>,
        base: Handle<Expression>,
        index: &[u32],
        (expression, mask): (Handle<Expression>, &Mask),
    ) -> Result<Value, String> {
        let value = self.value(frame, base, mask)?;
        let inner = self.pointee(frame, base);
        let (count, offset): (usize, Box<dyn Fn(u32) -> u32>) = match inner {
            TypeInner::Struct { members, .. } => {
                let size = |member: &naga::StructMember| self.sizes[member.ty.index()] as u32;
                let sizes: Vec<u32> = members.iter().map(size).collect();
                (members.len(), Box::new(move |at| sizes[..at as usize].iter().sum()))
            }
            TypeInner::Array { base, size, .. } => {
                let stride = self.sizes[base.index()] as u32;
                let count = length_of(&self.program.module, *size);
                (count.unwrap_or(usize::MAX), Box::new(move |at| at.wrapping_mul(stride)))
            }
            TypeInner::Matrix { columns, rows, .. } => {
                let rows = *rows as u32;
                (*columns as usize, Box::new(move |at| at * rows))
            }
            vector => (self.size_of(vector), Box::new(|at| at)),
        };
        if let Some(lane) =
            (0..self.lanes).find(|&lane| mask[lane] && index[lane] as usize >= count)
        {
            let span = frame.function.expressions.get_span(expression);
            let line = self.line(span.to_range().map_or(0, |range| range.start as u32));
            return Err(format!("index {} of {count} at {line}", index[lane]));
        }
        // An invocation that is elsewhere has any index.
        let offset = |(lane, &at): (usize, &u32)| if mask[lane] { offset(at) } else { 0 };
        let offsets: Vec<u32> = index.iter().enumerate().map(offset).collect();
        match value {
            Value::Pointer(pointer) => {
                let is_vector =
                    matches!(inner, TypeInner::Vector { .. } | TypeInner::ValuePointer { .. });
                let vector = is_vector.then(|| (pointer.offsets.clone(), count));
                let more = pointer.offsets.iter().zip(&offsets);
                let offsets = more.map(|(&first, &more)| first.wrapping_add(more)).collect();
                Ok(Value::Pointer(Rc::new(Pointer { root: pointer.root, offsets, vector })))
            }
            Value::Words(words) => {
                let size = self.size_of(self.pointee(frame, expression));
                let lanes = self.lanes;
                let place = |at: usize| (offsets[at % lanes] as usize + at / lanes) * lanes;
                let words = (0..size * lanes).map(|at| words[place(at) + at % lanes]).collect();
                Ok(Value::Words(Rc::new(words)))
            }
        }
    }

    fn math(
        &self,
        fun: MathFunction,
        (frame, first): (&Frame<'a>, Handle<Expression>),
        operands: &[Rc<Vec<u32>>],
    ) -> Result<Vec<u32>, String> {
        let inner = self.pointee(frame, first);
        match (fun, inner) {
            (MathFunction::Transpose, TypeInner::Matrix { columns, rows, .. }) => {
                let (columns, rows) = (*columns as usize, *rows as usize);
                let from = |at: usize| self.word(&operands[0], at % columns * rows + at / columns);
                Ok((0..columns * rows).flat_map(from).copied().collect())
            }
            (MathFunction::Unpack2x16float, _) => {
                let half = |word: u32| half::f16::from_bits(word as u16).to_f32().to_bits();
                let halves = [0, 16].map(|by| operands[0].iter().map(move |word| half(word >> by)));
                Ok(halves.into_iter().flatten().collect())
            }
            _ => {
                let change = values::math(fun, kind_of(inner))
                    .ok_or_else(|| format!("{fun:?} is not interpreted"))?;
                let operand = |of: usize, at: usize| operands.get(of).map_or(0, |words| words[at]);
                let change = |at| change([0, 1, 2].map(|of| operand(of, at)));
                Ok((0..operands[0].len()).map(change).collect())
            }
        }
    }

    /// The words of a constant.
    fn constant(&self, expression: &Expression) -> Result<Vec<u32>, String> {
        let module = &self.program.module;
        let of = |handle: Handle<Expression>| self.constant(&module.global_expressions[handle]);
        let zeros = |ty: Handle<Type>| vec![0; self.sizes[ty.index()]];
        Ok(match expression {
            Expression::Literal(Literal::U32(value)) => vec![*value],
            Expression::Literal(Literal::I32(value)) => vec![*value as u32],
            Expression::Literal(Literal::F32(value)) => vec![value.to_bits()],
            Expression::Literal(Literal::Bool(value)) => vec![(*value).into()],
            Expression::Constant(constant) => of(module.constants[*constant].init)?,
            Expression::ZeroValue(ty) => zeros(*ty),
            Expression::Compose { components, .. } => {
                components.iter().map(|&part| of(part)).collect::<Result<Vec<_>, _>>()?.concat()
            }
            Expression::Splat { size, value } => of(*value)?.repeat(*size as usize),
            other => return Err(format!("{other:?} is no known constant")),
        })
    }
}
