//! A machine that runs WGSL on the CPU: all invocations of a dispatch at the same time.
//!
//! Every statement runs for all invocations that reach it, before the next statement runs. So
//! workgroups that wait for each other never wait in vain, and the machine never hangs where a
//! barrier is missing. Races show by their lack of an order, whatever the order was.

use std::rc::Rc;

use naga::valid::FunctionInfo;
use naga::{
    Barrier, Binding, BuiltIn, Expression, Function, Handle, LocalVariable, Span, TypeInner,
};

use crate::memory::{Access, Touch, Variable};
use crate::types::words_of;
use crate::wgsl::Specialised;

/// Rounds of one loop at most.
const MOST_ROUNDS: usize = 1 << 11;

/// The invocations that reach a statement.
pub type Mask = Vec<bool>;

/// The value of an expression in each invocation. Word w of invocation i is at `w * lanes + i`.
#[derive(Debug, Clone)]
pub enum Value {
    Words(Rc<Vec<u32>>),
    Pointer(Rc<Pointer>),
}

/// Places in a variable.
#[derive(Debug)]
pub struct Pointer {
    pub root: Root,
    /// The first word, for each invocation.
    pub offsets: Vec<u32>,
    /// The vector around a component: its first word for each invocation, and its words.
    pub vector: Option<(Vec<u32>, usize)>,
}

/// A variable.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Root {
    Global(usize),
    Local(Handle<LocalVariable>),
}

/// A call of a function.
pub struct Frame<'a> {
    pub function: &'a Function,
    pub info: &'a FunctionInfo,
    pub arguments: Vec<Value>,
    pub values: Vec<Option<Value>>,
    pub locals: Vec<Vec<u32>>,
    /// Invocations that left the innermost loop, or its round.
    pub broke: Mask,
    pub continued: Mask,
    pub result: Option<Vec<u32>>,
}

/// A dispatch while it runs.
pub struct Machine<'a> {
    pub program: &'a Specialised,
    pub text: &'a str,
    /// Invocations, of all workgroups and of one.
    pub lanes: usize,
    pub group: usize,
    pub workgroups: [u32; 3],
    pub variables: Vec<Variable>,
    /// Barriers that each workgroup has passed: of its memory, and of storage.
    pub barriers: Vec<u32>,
    pub storage_barriers: Vec<u32>,
    /// Words of each type.
    pub sizes: Vec<usize>,
    /// Whether a store to a component leaves the rest of its vector alone, as in SPIR-V.
    pub components_alone: bool,
}

impl<'a> Machine<'a> {
    /// Runs the entry point.
    ///
    /// # Errors
    /// A race, an index out of bounds, a value that is not there, or an unknown operation, each
    /// with its line.
    pub fn run(&mut self) -> Result<(), String> {
        let entry = &self.program.module.entry_points[0];
        let builtin = |argument: &naga::FunctionArgument| match argument.binding {
            Some(Binding::BuiltIn(builtin)) => self.builtin(builtin),
            _ => Err("an argument without a builtin".to_owned()),
        };
        let arguments = entry.function.arguments.iter().map(builtin).collect::<Result<_, _>>()?;
        let info = self.program.info.get_entry_point(0);
        self.call(&entry.function, info, arguments, &vec![true; self.lanes]).map(drop)
    }

    fn builtin(&self, builtin: BuiltIn) -> Result<Value, String> {
        let [x, y, _] = self.workgroups;
        let lanes = 0..self.lanes as u32;
        let group = self.group as u32;
        let of = |f: &dyn Fn(u32) -> u32| lanes.clone().map(f).collect::<Vec<u32>>();
        let words = match builtin {
            BuiltIn::LocalInvocationIndex => of(&|lane| lane % group),
            BuiltIn::WorkGroupId => [
                of(&|lane| lane / group % x),
                of(&|lane| lane / group / x % y),
                of(&|lane| lane / group / x / y),
            ]
            .concat(),
            BuiltIn::NumWorkGroups => {
                self.workgroups.iter().flat_map(|&count| of(&|_| count)).collect()
            }
            other => return Err(format!("{other:?} is not interpreted")),
        };
        Ok(Value::Words(Rc::new(words)))
    }

    /// Calls a function for the invocations of `mask`, and returns its result.
    pub fn call(
        &mut self,
        function: &'a Function,
        info: &'a FunctionInfo,
        arguments: Vec<Value>,
        mask: &Mask,
    ) -> Result<Option<Vec<u32>>, String> {
        let none = vec![false; self.lanes];
        let words = |size: usize| vec![0; size * self.lanes];
        let size = |variable: &LocalVariable| self.sizes[variable.ty.index()];
        let mut frame = Frame {
            function,
            info,
            arguments,
            values: vec![None; function.expressions.len()],
            locals: function.local_variables.iter().map(|(_, v)| words(size(v))).collect(),
            broke: none.clone(),
            continued: none,
            result: function.result.as_ref().map(|result| words(self.sizes[result.ty.index()])),
        };
        for (handle, variable) in function.local_variables.iter() {
            if let Some(init) = variable.init {
                let value = self.words(&mut frame, init, mask)?;
                frame.locals[handle.index()].copy_from_slice(&value);
            }
        }
        self.block(&mut frame, &function.body, mask.clone())?;
        Ok(frame.result)
    }

    /// Runs a loop, and returns the invocations that leave it at its end.
    pub fn repeat(
        &mut self,
        frame: &mut Frame<'a>,
        (body, continuing): (&'a naga::Block, &'a naga::Block),
        break_if: Option<Handle<Expression>>,
        mut mask: Mask,
    ) -> Result<Mask, String> {
        let none = vec![false; self.lanes];
        let outer = [&mut frame.broke, &mut frame.continued]
            .map(|left| std::mem::replace(left, none.clone()));
        let mut left = none.clone();
        let mut rounds = 0;
        while mask.contains(&true) {
            rounds += 1;
            if rounds > MOST_ROUNDS {
                return Err(format!("a loop has more than {MOST_ROUNDS} rounds"));
            }
            let ended = self.block(frame, body, mask)?;
            let continued = std::mem::replace(&mut frame.continued, none.clone());
            mask = self.block(frame, continuing, either(&ended, &continued))?;
            if let Some(condition) = break_if {
                let (leaving, staying) = self.split(frame, condition, &mask)?;
                left = either(&left, &leaving);
                mask = staying;
            }
            left = either(&left, &std::mem::replace(&mut frame.broke, none.clone()));
        }
        [frame.broke, frame.continued] = outer;
        Ok(left)
    }

    /// The invocations in which a condition holds, and the others.
    pub fn split(
        &mut self,
        frame: &mut Frame<'a>,
        condition: Handle<Expression>,
        mask: &Mask,
    ) -> Result<(Mask, Mask), String> {
        let holds = self.words(frame, condition, mask)?;
        let pick = |wanted: bool| {
            mask.iter().zip(&*holds).map(|(&on, &word)| on && (word != 0) == wanted).collect()
        };
        Ok((pick(true), pick(false)))
    }

    /// Passes a barrier with all invocations of each workgroup that is there.
    pub fn barrier(&mut self, kind: Barrier, mask: &Mask, span: Span) -> Result<(), String> {
        let barriers = match kind {
            Barrier::WORK_GROUP => &mut self.barriers,
            Barrier::STORAGE => &mut self.storage_barriers,
            other => return Err(format!("{other:?} is not interpreted")),
        };
        for (workgroup, group) in mask.chunks_exact(self.group).enumerate() {
            match group.iter().filter(|&&on| on).count() {
                0 => {}
                all if all == self.group => barriers[workgroup] += 1,
                some => {
                    let line = self.line(site(span));
                    return Err(format!("{some} of {} invocations are at {line}", self.group));
                }
            }
        }
        Ok(())
    }

    /// Reads `size` words at a pointer in the invocations of `mask`; the others get any words.
    pub fn load(
        &mut self,
        frame: &Frame<'a>,
        pointer: &Pointer,
        size: usize,
        touch: Touch,
        (mask, span): (&Mask, Span),
    ) -> Result<Vec<u32>, String> {
        let lanes = self.lanes;
        let global = match pointer.root {
            Root::Global(global) => global,
            Root::Local(local) => {
                let values = &frame.locals[local.index()];
                let of_word = |word| {
                    let offsets = pointer.offsets.iter().enumerate();
                    offsets.map(move |(lane, &at)| values[(at as usize + word) * lanes + lane])
                };
                return Ok((0..size).flat_map(of_word).collect());
            }
        };
        let mut words = vec![0; size * lanes];
        for lane in (0..lanes).filter(|&lane| mask[lane]) {
            for word in 0..size {
                let offset = pointer.offsets[lane] as usize + word;
                let (place, access) = self.touch(global, offset, lane, touch, span)?;
                words[word * lanes + lane] = self.variables[global].read(place, &access);
            }
        }
        Ok(words)
    }

    /// Writes words at a pointer in the invocations of `mask`.
    pub fn store(
        &mut self,
        frame: &mut Frame<'a>,
        pointer: &Pointer,
        words: &[u32],
        touch: Touch,
        (mask, span): (&Mask, Span),
    ) -> Result<(), String> {
        let lanes = self.lanes;
        let global = match pointer.root {
            Root::Global(global) => global,
            Root::Local(local) => {
                let values = &mut frame.locals[local.index()];
                for (word, words) in words.chunks_exact(lanes).enumerate() {
                    for lane in (0..lanes).filter(|&lane| mask[lane]) {
                        values[(pointer.offsets[lane] as usize + word) * lanes + lane] =
                            words[lane];
                    }
                }
                return Ok(());
            }
        };
        for lane in (0..lanes).filter(|&lane| mask[lane]) {
            for word in 0..words.len() / lanes {
                let offset = pointer.offsets[lane] as usize + word;
                let (place, access) = self.touch(global, offset, lane, touch, span)?;
                self.variables[global].write(place, &access, words[word * lanes + lane]);
            }
            // A store to a component may write the whole vector.
            if let Some((first, size)) = pointer.vector.as_ref().filter(|_| !self.components_alone)
            {
                for word in 0..*size {
                    self.touch(global, first[lane] as usize + word, lane, touch, span)?;
                }
            }
        }
        Ok(())
    }

    /// Records an access to a word of a global variable, and returns it with the word's place.
    pub fn touch(
        &mut self,
        global: usize,
        offset: usize,
        lane: usize,
        touch: Touch,
        span: Span,
    ) -> Result<(usize, Access), String> {
        let workgroup = (lane / self.group) as u32;
        let [barriers, storage_barriers] =
            [&self.barriers, &self.storage_barriers].map(|passed| passed[workgroup as usize]);
        let access = Access {
            invocation: lane as u32,
            workgroup,
            barriers,
            storage_barriers,
            touch,
            site: site(span),
        };
        let variable = &mut self.variables[global];
        let found = variable.place(offset, workgroup).and_then(|place| {
            if variable.is_unwritten(place) && touch == Touch::Read {
                return Err(format!("{}: nothing has written word {offset}", variable.name));
            }
            variable
                .touch(place, access)
                .map(|()| (place, access))
                .map_err(|race| race.describe(&variable.name, |site| line_of(self.text, site)))
        });
        found.map_err(|error| format!("{error} (at {})", self.line(access.site)))
    }

    pub fn line(&self, site: u32) -> String {
        line_of(self.text, site)
    }

    /// The words of an expression that is no pointer.
    pub fn words(
        &mut self,
        frame: &mut Frame<'a>,
        expression: Handle<Expression>,
        mask: &Mask,
    ) -> Result<Rc<Vec<u32>>, String> {
        match self.value(frame, expression, mask)? {
            Value::Words(words) => Ok(words),
            Value::Pointer(_) => Err("a pointer where words belong".to_owned()),
        }
    }

    pub fn pointer(
        &mut self,
        frame: &mut Frame<'a>,
        expression: Handle<Expression>,
        mask: &Mask,
    ) -> Result<Rc<Pointer>, String> {
        match self.value(frame, expression, mask)? {
            Value::Pointer(pointer) => Ok(pointer),
            Value::Words(_) => Err("words where a pointer belongs".to_owned()),
        }
    }

    /// The type of an expression; of a pointer, the type that it points to.
    pub fn pointee(&self, frame: &Frame<'a>, expression: Handle<Expression>) -> &'a TypeInner {
        let types = &self.program.module.types;
        let info: &'a FunctionInfo = frame.info;
        match info[expression].ty.inner_with(types) {
            TypeInner::Pointer { base, .. } => &types[*base].inner,
            inner => inner,
        }
    }

    /// Words of a value of a type. A runtime-sized array has none.
    pub fn size_of(&self, inner: &TypeInner) -> usize {
        words_of(&self.program.module, inner, &self.sizes)
    }
}

pub fn either(a: &Mask, b: &Mask) -> Mask {
    a.iter().zip(b).map(|(&a, &b)| a || b).collect()
}

fn site(span: Span) -> u32 {
    span.to_range().map_or(0, |range| range.start as u32)
}

/// The line of a text at an offset, as its number and its words.
fn line_of(text: &str, site: u32) -> String {
    let number = text[..site as usize].matches('\n').count();
    let line = text.lines().nth(number).unwrap_or_default().trim();
    format!("line {} '{line}'", number + 1)
}
