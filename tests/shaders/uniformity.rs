//! Values that all invocations of a workgroup share because they depend only on constants,
//! overrides, uniforms and read-only storage. An argument counts as such a value if every caller
//! passes one.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use naga::{
    AddressSpace, Block, Expression, Function, Handle, LocalVariable, Module, Statement,
    StorageAccess,
};

/// The invocations that share a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The invocations of a workgroup: constants, overrides, uniforms and read-only storage.
    Workgroup,
    /// All invocations of a pipeline: constants and overrides.
    Pipeline,
}

/// Storage that no invocation changes. All of them load the same value from the same place.
const READ_ONLY: AddressSpace = AddressSpace::Storage { access: StorageAccess::LOAD };

/// The values of a function that are the same in all invocations of a scope.
pub(crate) struct Uniformity<'a> {
    module: &'a Module,
    function: &'a Function,
    scope: Scope,
    /// By argument: whether all callers give a value that is the same in all invocations.
    arguments: &'a [bool],
    /// Variables that may differ between invocations.
    varying: HashSet<Handle<LocalVariable>>,
    /// By expression: whether the value or pointer is the same in all invocations. For a pointer to
    /// a variable this includes the variable's value.
    uniform: Vec<bool>,
}

impl<'a> Uniformity<'a> {
    /// Assumes that every variable is uniform, marks the ones with varying stores, and repeats
    /// until nothing changes.
    pub fn of(
        module: &'a Module,
        function: &'a Function,
        scope: Scope,
        arguments: &'a [bool],
    ) -> Self {
        let (varying, uniform) = (HashSet::new(), Vec::new());
        let mut uniformity = Self { module, function, scope, arguments, varying, uniform };
        loop {
            uniformity.expressions();
            let before = uniformity.varying.len();
            uniformity.stores(&function.body, false);
            if uniformity.varying.len() == before {
                return uniformity;
            }
        }
    }

    /// Relies on expressions referring only to earlier ones.
    fn expressions(&mut self) {
        self.uniform.clear();
        for (_, expression) in self.function.expressions.iter() {
            let is = |handle: &Handle<Expression>| self.uniform[handle.index()];
            let uniform = match expression {
                Expression::Literal(_)
                | Expression::Constant(_)
                | Expression::Override(_)
                | Expression::ZeroValue(_) => true,
                Expression::GlobalVariable(variable) => {
                    let space = self.module.global_variables[*variable].space;
                    let shared = [AddressSpace::Uniform, READ_ONLY].contains(&space);
                    self.scope == Scope::Workgroup && shared
                }
                Expression::LocalVariable(variable) => !self.varying.contains(variable),
                Expression::Load { pointer } => is(pointer),
                Expression::Compose { components, .. } => components.iter().all(is),
                Expression::Access { base, index } => is(base) && is(index),
                Expression::AccessIndex { base, .. } => is(base),
                Expression::Splat { value, .. } => is(value),
                Expression::Swizzle { vector, .. } => is(vector),
                Expression::Unary { expr, .. } | Expression::As { expr, .. } => is(expr),
                Expression::Binary { left, right, .. } => is(left) && is(right),
                Expression::Select { condition, accept, reject } => {
                    is(condition) && is(accept) && is(reject)
                }
                Expression::Relational { argument, .. } => is(argument),
                Expression::Math { arg, arg1, arg2, arg3, .. } => {
                    is(arg) && [arg1, arg2, arg3].into_iter().flatten().all(is)
                }
                // Stores through a pointer are not tracked here.
                Expression::FunctionArgument(index) => {
                    let argument = &self.function.arguments[*index as usize];
                    let pointer = self.module.types[argument.ty].inner.pointer_space().is_some();
                    !pointer && self.arguments.get(*index as usize) == Some(&true)
                }
                // Results of calls, atomics, subgroups.
                _ => false,
            };
            self.uniform.push(uniform);
        }
    }

    /// Returns whether a value is the same in all invocations of the scope.
    pub fn is(&self, expression: Handle<Expression>) -> bool {
        self.uniform[expression.index()]
    }

    /// Returns the variable that a pointer points into.
    fn variable(&self, pointer: Handle<Expression>) -> Option<Handle<LocalVariable>> {
        match self.function.expressions[pointer] {
            Expression::LocalVariable(variable) => Some(variable),
            Expression::Access { base, .. } | Expression::AccessIndex { base, .. } => {
                self.variable(base)
            }
            _ => None,
        }
    }

    /// Finds variables that only some invocations store to, or that receive different values.
    /// Ignores returns: no barrier may follow one, so that stores after it do not matter.
    fn stores(&mut self, block: &Block, divergent: bool) {
        for statement in block {
            match statement {
                Statement::Store { pointer, value }
                    if divergent || !self.is(*pointer) || !self.is(*value) =>
                {
                    self.varying.extend(self.variable(*pointer));
                }
                // A function may write through a pointer.
                Statement::Call { arguments, .. } => {
                    let variables: Vec<_> =
                        arguments.iter().filter_map(|&argument| self.variable(argument)).collect();
                    self.varying.extend(variables);
                }
                Statement::Block(block) => self.stores(block, divergent),
                Statement::If { condition, accept, reject } => {
                    let divergent = divergent || !self.is(*condition);
                    self.stores(accept, divergent);
                    self.stores(reject, divergent);
                }
                Statement::Switch { selector, cases } => {
                    let divergent = divergent || !self.is(*selector);
                    for case in cases {
                        self.stores(&case.body, divergent);
                    }
                }
                Statement::Loop { body, continuing, break_if } => {
                    let divergent = divergent || !self.loop_is_uniform(body, *break_if);
                    self.stores(body, divergent);
                    self.stores(continuing, divergent);
                }
                _ => {}
            }
        }
    }

    /// Notes in `callees` which arguments of each called function are uniform in all calls.
    pub fn calls(&self, block: &Block, callees: &mut HashMap<Handle<Function>, Vec<bool>>) {
        for statement in block {
            match statement {
                Statement::Call { function, arguments, .. } => {
                    let uniform = arguments.iter().map(|&argument| self.is(argument));
                    match callees.entry(*function) {
                        Entry::Vacant(entry) => {
                            entry.insert(uniform.collect());
                        }
                        Entry::Occupied(mut entry) => {
                            let both = entry.get_mut().iter_mut().zip(uniform);
                            both.for_each(|(so_far, here)| *so_far &= here);
                        }
                    }
                }
                Statement::Block(block) => self.calls(block, callees),
                Statement::If { accept, reject, .. } => {
                    self.calls(accept, callees);
                    self.calls(reject, callees);
                }
                Statement::Switch { cases, .. } => {
                    cases.iter().for_each(|case| self.calls(&case.body, callees));
                }
                Statement::Loop { body, continuing, .. } => {
                    self.calls(body, callees);
                    self.calls(continuing, callees);
                }
                _ => {}
            }
        }
    }

    /// Returns whether all invocations iterate a loop equally often and together.
    pub fn loop_is_uniform(&self, body: &Block, break_if: Option<Handle<Expression>>) -> bool {
        break_if.is_none_or(|condition| self.is(condition))
            && self.jumps_are_uniform(body, true, true, true)
    }

    /// Returns whether every jump out of a loop's iteration has uniform conditions. `breaks` and
    /// `continues` state whether such jumps in this block belong to that loop. Otherwise they
    /// belong to a switch or to an inner loop.
    fn jumps_are_uniform(
        &self,
        block: &Block,
        uniform: bool,
        breaks: bool,
        continues: bool,
    ) -> bool {
        block.iter().all(|statement| match statement {
            Statement::Break => !breaks || uniform,
            Statement::Continue => !continues || uniform,
            Statement::Return { .. } | Statement::Kill => false,
            Statement::Block(block) => self.jumps_are_uniform(block, uniform, breaks, continues),
            Statement::If { condition, accept, reject } => {
                let uniform = uniform && self.is(*condition);
                [accept, reject]
                    .iter()
                    .all(|block| self.jumps_are_uniform(block, uniform, breaks, continues))
            }
            Statement::Switch { selector, cases } => {
                let uniform = uniform && self.is(*selector);
                cases
                    .iter()
                    .all(|case| self.jumps_are_uniform(&case.body, uniform, false, continues))
            }
            Statement::Loop { body, continuing, .. } => [body, continuing]
                .iter()
                .all(|block| self.jumps_are_uniform(block, uniform, false, false)),
            _ => true,
        })
    }
}
