//! Every invocation of a workgroup reaches every barrier. WGSL requires it; naga does not check it.
//!
//! The rule is stricter than WGSL's, to stay simple. It applies to the entry point and to the
//! functions that it calls. No barrier stands after a return, or in a branch, except one that
//! constants and overrides decide. A barrier may stand in a loop whose exits depend only on
//! constants, overrides, uniforms, read-only storage and variables computed from these. An argument
//! counts among these if every caller passes such a value.

use std::collections::{HashMap, HashSet};

use naga::{Block, Function, Handle, Statement};

use crate::uniformity::{Scope, Uniformity};
use crate::{
    Subject, Verdict, assert_all_accepted, assert_refused, kernel_named, parse, with_passage,
};

/// The place of a statement.
#[derive(Clone, Copy)]
struct Place {
    /// The branch around the statement.
    branch: Option<&'static str>,
    /// Whether all loops around the statement are uniform.
    uniform_loops: bool,
}

/// A search for misplaced barriers in one function.
struct Walk<'a> {
    uniformity: Uniformity<'a>,
    /// What pipelines decide.
    constants: Uniformity<'a>,
    /// Functions that hold a barrier, or call one that does.
    synchronising: &'a HashSet<Handle<Function>>,
    /// Whether the search has seen a return.
    returned: bool,
}

impl Walk<'_> {
    fn is_barrier(&self, statement: &Statement) -> bool {
        match statement {
            Statement::ControlBarrier(_) | Statement::WorkGroupUniformLoad { .. } => true,
            Statement::Call { function, .. } => self.synchronising.contains(function),
            _ => false,
        }
    }

    fn block(&mut self, block: &Block, place: Place) -> Verdict {
        for statement in block {
            if self.is_barrier(statement) {
                if let Some(branch) = place.branch {
                    return Err(format!("a barrier in {branch}"));
                }
                if self.returned {
                    return Err("a barrier after a return".to_owned());
                }
                if !place.uniform_loops {
                    return Err("a barrier in a loop that is not uniform".to_owned());
                }
            }
            match statement {
                Statement::Block(block) => self.block(block, place)?,
                Statement::If { condition, accept, reject } => {
                    let branch =
                        if self.constants.is(*condition) { place.branch } else { Some("an if") };
                    let place = Place { branch, ..place };
                    self.block(accept, place)?;
                    self.block(reject, place)?;
                }
                Statement::Switch { cases, .. } => {
                    for case in cases {
                        self.block(&case.body, Place { branch: Some("a switch"), ..place })?;
                    }
                }
                Statement::Loop { body, continuing, break_if } => {
                    let uniform = self.uniformity.loop_is_uniform(body, *break_if);
                    let place = Place { uniform_loops: place.uniform_loops && uniform, ..place };
                    self.block(body, place)?;
                    self.block(continuing, place)?;
                }
                Statement::Return { .. } | Statement::Kill => self.returned = true,
                _ => {}
            }
        }
        Ok(())
    }
}

/// Returns whether a block holds a barrier at any depth.
fn synchronises(block: &Block, synchronising: &HashSet<Handle<Function>>) -> bool {
    block.iter().any(|statement| match statement {
        Statement::ControlBarrier(_) | Statement::WorkGroupUniformLoad { .. } => true,
        Statement::Call { function, .. } => synchronising.contains(function),
        Statement::Block(block) => synchronises(block, synchronising),
        Statement::If { accept, reject, .. } => {
            [accept, reject].iter().any(|b| synchronises(b, synchronising))
        }
        Statement::Switch { cases, .. } => {
            cases.iter().any(|case| synchronises(&case.body, synchronising))
        }
        Statement::Loop { body, continuing, .. } => {
            [body, continuing].iter().any(|b| synchronises(b, synchronising))
        }
        _ => false,
    })
}

/// All invocations reach every barrier of the kernel.
fn barriers_are_uniform(kernel: &Subject) -> Verdict {
    let module = parse(&kernel.wgsl)?.module;
    // naga orders functions after the ones that they call.
    let mut synchronising = HashSet::new();
    for (handle, function) in module.functions.iter() {
        if synchronises(&function.body, &synchronising) {
            synchronising.insert(handle);
        }
    }
    // Callers come before the functions that they call, so that arguments are known.
    let mut arguments: HashMap<Handle<Function>, Vec<bool>> = HashMap::new();
    let mut constant_arguments = arguments.clone();
    let entries = module.entry_points.iter().map(|entry| (None, &entry.function));
    let functions = module.functions.iter().rev().map(|(handle, f)| (Some(handle), f));
    for (handle, function) in entries.chain(functions) {
        let own = handle.and_then(|handle| arguments.remove(&handle)).unwrap_or_default();
        let uniformity = Uniformity::of(&module, function, Scope::Workgroup, &own);
        uniformity.calls(&function.body, &mut arguments);
        let own = handle.and_then(|handle| constant_arguments.remove(&handle)).unwrap_or_default();
        let constants = Uniformity::of(&module, function, Scope::Pipeline, &own);
        constants.calls(&function.body, &mut constant_arguments);
        let synchronising = &synchronising;
        let mut walk = Walk { uniformity, constants, synchronising, returned: false };
        walk.block(&function.body, Place { branch: None, uniform_loops: true }).map_err(
            |error| format!("{}: {error}", function.name.as_deref().unwrap_or(kernel.entry)),
        )?;
    }
    Ok(())
}

#[test]
fn barriers_are_reached_by_all_invocations() {
    assert_all_accepted(barriers_are_uniform);
}

/// Returns a kernel whose entry point has this body. The body may also close the
/// function and declare more after it.
fn kernel_of(body: &str) -> Subject {
    let text = format!(
        "override LANES: u32 = 8u;
         struct Dims {{ n: u32, pad0: u32, pad1: u32, pad2: u32 }}
         @group(0) @binding(0) var<uniform> dims: Dims;
         @group(0) @binding(1) var<storage, read> x: array<u32>;
         @group(0) @binding(2) var<storage, read_write> y: array<u32>;
         var<workgroup> sh: array<u32, 64>;
         fn barrier() {{ workgroupBarrier(); }}
         fn nested() {{ barrier(); }}
         fn three() -> u32 {{ return 3u; }}
         fn bump(p: ptr<function, u32>, by: u32) {{ *p += by; }}
         @compute @workgroup_size(64)
         fn tile(
             @builtin(local_invocation_index) i: u32,
             @builtin(workgroup_id) workgroup: vec3<u32>
         ) {{ {body} }}"
    );
    crate::with_text(&kernel_named("tile"), text)
}

#[test]
fn barriers_that_all_invocations_reach_are_accepted() {
    let cases = [
        ("none", "y[i] = 1u;"),
        ("at the top", "sh[i] = i; workgroupBarrier(); y[i] = sh[0];"),
        ("in a function", "nested(); { barrier(); }"),
        ("an if that an override decides", "if LANES > 4u { workgroupBarrier(); } y[i] = 1u;"),
        (
            "an if that a constant argument decides",
            "some(2u * LANES); } fn some(n: u32) { if n > 3u { nested(); }",
        ),
        ("a uniform load", "y[i] = workgroupUniformLoad(&sh[3]);"),
        ("a loop over a constant", "for (var k = 0u; k < 9u; k++) { workgroupBarrier(); }"),
        ("a loop over read-only storage", "for (var k = 0u; k < x[3]; k++) { barrier(); }"),
        (
            "a loop over a uniform",
            "let n = dims.n / 2u; for (var k = 0u; k < n; k += 4u) { workgroupBarrier(); }",
        ),
        (
            "a loop over an override",
            "for (var k = LANES; k > 0u && LANES > 1u; k /= 2u) { workgroupBarrier(); }",
        ),
        (
            "either condition",
            "for (var k = LANES; k > 1u || k == 1u; k /= 2u) { workgroupBarrier(); }",
        ),
        (
            "a loop in a loop",
            "for (var k = 0u; k < 9u; k++) { for (var j = k; j < 9u; j++) { workgroupBarrier(); } \
             }",
        ),
        ("a uniform break", "loop { if dims.n > 3u { break; } workgroupBarrier(); }"),
        (
            "a uniform continue",
            "for (var k = 0u; k < 9u; k++) { if k == dims.n { continue; } workgroupBarrier(); }",
        ),
        (
            "a uniform break-if",
            "var k = 0u; loop { workgroupBarrier(); continuing { k++; break if k > dims.n; } }",
        ),
        (
            "a break out of an inner loop",
            "for (var k = 0u; k < 9u; k++) { workgroupBarrier(); loop { if i > k { break; } } }",
        ),
        (
            "a break out of a switch",
            "for (var k = 0u; k < 9u; k++) { workgroupBarrier(); switch i { case 1u: { break; } \
             default: {} } }",
        ),
        (
            "a continue of an inner loop",
            "loop { workgroupBarrier(); for (var j = 0u; j < 9u; j++) { if i > j { continue; } } \
             break; }",
        ),
        (
            "a bound that all callers give alike",
            "rounds(dims.n); through(9u); } fn through(n: u32) { rounds(n); } \
             fn rounds(n: u32) { for (var k = 0u; k < n; k++) { workgroupBarrier(); }",
        ),
        ("a varying loop before", "for (var k = 0u; k < i; k++) { y[k] = k; } workgroupBarrier();"),
        ("a return after", "workgroupBarrier(); if i > 3u { return; } y[i] = 1u;"),
        (
            "a return after a loop",
            "for (var k = 0u; k < 9u; k++) { workgroupBarrier(); } if i > 3u { return; } \
             y[i] = 1u;",
        ),
    ];
    for (accepted, body) in cases {
        barriers_are_uniform(&kernel_of(body))
            .unwrap_or_else(|e| panic!("{accepted}: refused with '{e}'"));
    }
}

#[test]
fn barriers_that_some_invocations_miss_are_refused() {
    const LOOP: &str = "tile: a barrier in a loop that is not uniform";
    let cases = [
        ("in an if", "if i < 3u { workgroupBarrier(); }", "tile: a barrier in an if"),
        (
            "in an else",
            "if i < 3u { y[i] = 1u; } else { workgroupBarrier(); }",
            "a barrier in an if",
        ),
        ("in a uniform if", "if dims.n < 3u { workgroupBarrier(); }", "a barrier in an if"),
        (
            "in an if that a uniform argument decides",
            "some(dims.n); } fn some(n: u32) { if n > 3u { nested(); }",
            "some: a barrier in an if",
        ),
        (
            "in a varying if of an if that an override decides",
            "if LANES > 4u { if i > 3u { workgroupBarrier(); } }",
            "a barrier in an if",
        ),
        (
            "in a switch",
            "switch i { case 1u: { workgroupBarrier(); } default: {} }",
            "a barrier in a switch",
        ),
        ("in a block of an if", "if i < 3u { { workgroupBarrier(); } }", "a barrier in an if"),
        (
            "in a loop of an if",
            "if i < 3u { for (var k = 0u; k < 9u; k++) { workgroupBarrier(); } }",
            "in an if",
        ),
        ("of storage memory", "if i < 3u { storageBarrier(); }", "a barrier in an if"),
        (
            "a uniform load in an if",
            "if i < 3u { y[i] = workgroupUniformLoad(&sh[3]); }",
            "a barrier in an if",
        ),
        ("a call in an if", "if i < 3u { nested(); }", "tile: a barrier in an if"),
        ("after a return", "if i > 3u { return; } workgroupBarrier();", "a barrier after a return"),
        ("a call after a return", "if i > 3u { return; } nested();", "a barrier after a return"),
        (
            "after a return in a loop",
            "loop { if i > 3u { return; } break; } workgroupBarrier();",
            "after a return",
        ),
        (
            "before a return in a loop",
            "for (var k = 0u; k < 9u; k++) { workgroupBarrier(); if i > k { return; } }",
            LOOP,
        ),
        (
            "a loop over the invocation",
            "for (var k = 0u; k < i; k++) { workgroupBarrier(); }",
            LOOP,
        ),
        (
            "a counter that starts there",
            "for (var k = i; k < 9u; k++) { workgroupBarrier(); }",
            LOOP,
        ),
        (
            "a counter that steps by it",
            "for (var k = 0u; k < 9u; k += i) { workgroupBarrier(); }",
            LOOP,
        ),
        (
            "a counter that steps by it at times",
            "for (var k = 0u; k < 9u; k++) { workgroupBarrier(); if i > 3u { k++; } }",
            LOOP,
        ),
        (
            "a counter that another steps",
            "var a = 0u; for (var k = 0u; k < 9u; k += a) { workgroupBarrier(); a += i; }",
            LOOP,
        ),
        (
            "a counter behind a pointer",
            "var k = 0u; while k < 9u { workgroupBarrier(); bump(&k, i); }",
            LOOP,
        ),
        (
            "a counter in an array",
            "var k: array<u32, 2>; while k[0] < 9u { workgroupBarrier(); k[i % 2u]++; }",
            LOOP,
        ),
        (
            "a counter at a varying place of an array",
            "var k: array<u32, 2>; while k[0] < 9u { workgroupBarrier(); k[i % 2u] = 9u; }",
            LOOP,
        ),
        (
            "a counter set in a varying switch",
            "var k = 0u; while k < 9u { workgroupBarrier(); switch i { case 1u: { k = 9u; } \
             default: {} } }",
            LOOP,
        ),
        (
            "a counter set in a varying loop",
            "var k = 0u; for (var j = 0u; j < i; j++) { k++; } while k < 9u { workgroupBarrier(); \
             k++; }",
            LOOP,
        ),
        ("a loop over storage", "for (var k = 0u; k < y[0]; k++) { workgroupBarrier(); }", LOOP),
        (
            "a loop over a varying place",
            "for (var k = 0u; k < x[i]; k++) { workgroupBarrier(); }",
            LOOP,
        ),
        (
            "a loop over workgroup memory",
            "for (var k = 0u; k < sh[0]; k++) { workgroupBarrier(); }",
            LOOP,
        ),
        (
            "a condition that varies on the right",
            "for (var k = 0u; k < 9u && k < i; k++) { workgroupBarrier(); }",
            LOOP,
        ),
        (
            "a condition that varies on the left",
            "for (var k = 0u; k < i || k < 9u; k++) { workgroupBarrier(); }",
            LOOP,
        ),
        (
            "a selected bound",
            "for (var k = 0u; k < select(9u, 3u, i > 3u); k++) { workgroupBarrier(); }",
            LOOP,
        ),
        (
            "a bound from a function",
            "for (var k = 0u; k < min(9u, i); k++) { workgroupBarrier(); }",
            LOOP,
        ),
        (
            "a bound from a conversion",
            "for (var k = 0u; k < u32(f32(i)); k++) { workgroupBarrier(); }",
            LOOP,
        ),
        ("a bound from an operator", "for (var k = 0u; k < ~i; k++) { workgroupBarrier(); }", LOOP),
        (
            "a bound from a vector",
            "for (var k = 0u; k < vec2(9u, i).y; k++) { workgroupBarrier(); }",
            LOOP,
        ),
        (
            "a bound that is indexed",
            "let v = vec2(9u, 3u); for (var k = 0u; k < v[i]; k++) { workgroupBarrier(); }",
            LOOP,
        ),
        ("a bound from a call", "for (var k = 0u; k < three(); k++) { workgroupBarrier(); }", LOOP),
        (
            "a varying break",
            "for (var k = 0u; k < 9u; k++) { if i == k { break; } workgroupBarrier(); }",
            LOOP,
        ),
        (
            "a varying break after",
            "for (var k = 0u; k < 9u; k++) { workgroupBarrier(); if i == k { break; } }",
            LOOP,
        ),
        (
            "a varying continue",
            "for (var k = 0u; k < 9u; k++) { if i == k { continue; } workgroupBarrier(); }",
            LOOP,
        ),
        (
            "a varying continue of a switch",
            "for (var k = 0u; k < 9u; k++) { switch i { case 1u: { continue; } default: {} } \
             workgroupBarrier(); }",
            LOOP,
        ),
        (
            "a varying break-if",
            "var k = 0u; loop { workgroupBarrier(); continuing { k++; break if k > i; } }",
            LOOP,
        ),
        (
            "in a continuing block",
            "var k = 0u; loop { continuing { k++; workgroupBarrier(); break if k > i; } }",
            LOOP,
        ),
        (
            "a uniform loop in a varying one",
            "for (var j = 0u; j < i; j++) { for (var k = 0u; k < 9u; k++) { workgroupBarrier(); } \
             }",
            LOOP,
        ),
        (
            "a loop of one round in a varying one",
            "while y[i] < 9u { loop { workgroupBarrier(); break; } }",
            LOOP,
        ),
        ("a call in a varying loop", "for (var k = 0u; k < i; k++) { nested(); }", LOOP),
    ];
    for (broken, body, reason) in cases {
        assert_refused(broken, barriers_are_uniform(&kernel_of(body)), reason);
    }
    let rounds = "fn rounds(n: u32) { for (var k = 0u; k < n; k++) { workgroupBarrier(); }";
    let through = "fn through(n: u32) { rounds(n);";
    let points =
        "fn points(p: ptr<function, u32>) { while *p < 9u { workgroupBarrier(); *p += y[0]; }";
    let calls = [
        ("a varying argument", format!("rounds(i); }} {rounds}")),
        ("an argument that one caller varies", format!("rounds(9u); rounds(i); }} {rounds}")),
        ("an argument of a call's result", format!("rounds(three()); }} {rounds}")),
        ("an argument that is passed on", format!("through(i); }} {through} }} {rounds}")),
        ("a function that nobody calls", format!("}} {rounds}")),
        ("an argument that points to a counter", format!("var k = 0u; points(&k); }} {points}")),
    ];
    for (broken, body) in calls {
        assert_refused(
            broken,
            barriers_are_uniform(&kernel_of(&body)),
            "a barrier in a loop that is not uniform",
        );
    }
    let function = "barrier(); } fn sometimes(i: u32) { if i < 3u { workgroupBarrier(); }";
    let sometimes = with_passage(&kernel_of("sometimes(i);"), "barrier();", function);
    assert_refused(
        "in an if of a function",
        barriers_are_uniform(&sometimes),
        "sometimes: a barrier in an if",
    );
}

#[test]
fn kernels_with_misplaced_barriers_are_refused() {
    let (linear, step) = (&kernel_named("tile"), &kernel_named("step_gru"));
    let live = with_passage(
        linear,
        "        workgroupBarrier();\n",
        "        if more { workgroupBarrier(); }\n",
    );
    assert_refused(
        "linear with a barrier in a branch",
        barriers_are_uniform(&live),
        "product: a barrier in an if",
    );
    let early = with_passage(
        linear,
        "    let part = part_of(local_index);",
        "    if !in_range { return; }\n    let part = part_of(local_index);",
    );
    assert_refused(
        "linear with an early return",
        barriers_are_uniform(&early),
        "tile: a barrier after a return",
    );
    let bound = with_passage(linear, "start < span;", "start < span + part.lane;");
    assert_refused(
        "linear with a varying bound",
        barriers_are_uniform(&bound),
        "in a loop that is not uniform",
    );
    let argument = with_passage(
        linear,
        "dims.halves * dims.half_quads);\n    if !in_range",
        "dims.halves * dims.half_quads + local_index);\n    if !in_range",
    );
    assert_refused(
        "linear with a varying argument",
        barriers_are_uniform(&argument),
        "product: a barrier in a loop that is not uniform",
    );
    let span = with_passage(step, "var span = LANES;", "var span = LANES - lane;");
    assert_refused(
        "step with a varying counter",
        barriers_are_uniform(&span),
        "in a loop that is not uniform",
    );
    let narrowed = with_passage(
        &kernel_named("sample"),
        "        workgroupBarrier();\n        if narrowed {",
        "        if narrowed { workgroupBarrier(); }\n        if narrowed {",
    );
    assert_refused(
        "sample with a barrier in a branch",
        barriers_are_uniform(&narrowed),
        "lowest_key: a barrier in an if",
    );
    let lane = with_passage(step, "span > 0u;", "span > lane;");
    assert_refused(
        "step with a varying condition",
        barriers_are_uniform(&lane),
        "in a loop that is not uniform",
    );
}
