//! The WGSL avoids features that some platform lacks or computes wrongly.

use naga::valid::Capabilities;
use naga::{Arena, Expression, MathFunction};
use wgpu_rnn::internals::dtype::WeightType;

use crate::{
    Subject, Verdict, assert_all_accepted, assert_refused, kernel_named, parse, parse_with,
    with_passage, with_text,
};

/// Built-in functions that overflow internally on some drivers and return NaN.
/// `shaders/lib/activation.wgsl` is the safe alternative.
const UNSAFE_FUNCTIONS: [MathFunction; 3] =
    [MathFunction::Tanh, MathFunction::Sinh, MathFunction::Cosh];

/// The text is valid with no capability. f16 weights need one, which OpenGL before 4.2 lacks. Two
/// fragments of `persistent` need those by which plans choose them.
fn smallest_capabilities(kernel: &Subject) -> Verdict {
    let mut capabilities = Capabilities::empty();
    let halves = kernel.kernel.weights == WeightType::F16;
    capabilities.set(Capabilities::SHADER_FLOAT16_IN_FLOAT32, halves);
    capabilities.set(Capabilities::SUBGROUP, kernel.choices.subgroups == 1);
    let volatile = kernel.choices.volatile == 1;
    capabilities.set(Capabilities::MEMORY_DECORATION_COHERENT, volatile);
    capabilities.set(Capabilities::MEMORY_DECORATION_VOLATILE, volatile);
    parse_with(&kernel.wgsl, capabilities).map(|_| ())
}

fn without_comments(wgsl: &str) -> String {
    let code = |line: &str| line.split_once("//").map_or(line, |(code, _)| code).to_owned();
    wgsl.lines().map(code).collect::<Vec<_>>().join("\n")
}

/// The text requests no extension. Directives precede all declarations, each ended by a semicolon.
fn no_directives(kernel: &Subject) -> Verdict {
    for statement in without_comments(&kernel.wgsl).split(';').map(str::trim_start) {
        let word =
            statement.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
        if ["enable", "requires", "diagnostic"].contains(&word) {
            return Err(format!(
                "the directive '{}'",
                statement.lines().next().unwrap_or_default()
            ));
        }
    }
    Ok(())
}

/// Each variable of a function has an initialiser. Without it Tint's SPIR-V zeroes a variable of a
/// loop once, not at each iteration, as naga's did before 30. naga's module no longer shows it.
fn variables_have_values(kernel: &Subject) -> Verdict {
    for statement in without_comments(&kernel.wgsl).split([';', '{', '}']).map(str::trim) {
        let of_loop = statement.strip_prefix("for").map(str::trim_start);
        let declared = of_loop.and_then(|rest| rest.strip_prefix('(')).unwrap_or(statement);
        // Another address space makes it a variable of the module.
        let local = declared.trim_start().strip_prefix("var").is_some_and(|rest| {
            rest.starts_with(char::is_whitespace) || rest.starts_with("<function")
        });
        if local && !declared.contains('=') {
            return Err(format!("'{declared}' has no value"));
        }
    }
    Ok(())
}

/// No function calls an unsafe built-in.
fn no_unsafe_functions(kernel: &Subject) -> Verdict {
    let module = parse(&kernel.wgsl)?.module;
    let find = |expressions: &Arena<Expression>| {
        expressions.iter().find_map(|(_, expression)| match expression {
            Expression::Math { fun, .. } if UNSAFE_FUNCTIONS.contains(fun) => Some(*fun),
            _ => None,
        })
    };
    let functions = module.functions.iter().map(|(_, function)| function);
    for function in functions.chain(module.entry_points.iter().map(|entry| &entry.function)) {
        if let Some(fun) = find(&function.expressions) {
            return Err(format!(
                "{} calls {fun:?}",
                function.name.as_deref().unwrap_or(kernel.entry)
            ));
        }
    }
    find(&module.global_expressions).map_or(Ok(()), |fun| Err(format!("a constant calls {fun:?}")))
}

#[test]
fn kernels_need_no_capability() {
    assert_all_accepted(smallest_capabilities);
}

#[test]
fn kernels_have_no_directives() {
    assert_all_accepted(no_directives);
}

#[test]
fn kernels_give_variables_values() {
    assert_all_accepted(variables_have_values);
}

#[test]
fn kernels_call_no_unsafe_function() {
    assert_all_accepted(no_unsafe_functions);
}

#[test]
fn capabilities_and_invalid_texts_are_refused() {
    let linear = &kernel_named("tile");
    let cases = [
        ("half precision", "let bias = bias_quad", "let bias = f32(f16(1.0)) * bias_quad", "f16"),
        ("double precision", "let bias = bias_quad", "let bias = f32(f64(1.0)) * bias_quad", "f64"),
        (
            "subgroups",
            "let bias = bias_quad(",
            "let bias = subgroupAdd(bias[0]) + bias_quad(",
            "SUBGROUP",
        ),
        (
            "a write to a read-only binding",
            "let bias = bias_quad",
            "bias[0] = 0.0;\n    let bias = bias_quad",
            "bias",
        ),
        (
            "a name declared twice",
            "fn row_source(",
            "fn column_source(",
            "redefinition of `column_source`",
        ),
        ("a syntax error", "fn row_source(", "fn row_source[", "expected"),
        (
            "halves in a kernel without them",
            "let bias = bias_quad",
            "let bias = unpack2x16float(1u).x * bias_quad",
            "FLOAT16_IN_FLOAT32",
        ),
        ("immediate data", "var<uniform> dims", "var<immediate> dims", "IMMEDIATES"),
    ];
    for (broken, passage, replacement, reason) in cases {
        assert_refused(
            broken,
            smallest_capabilities(&with_passage(linear, passage, replacement)),
            reason,
        );
    }
}

#[test]
fn directives_are_refused() {
    let linear = &kernel_named("tile");
    for directive in [
        "enable f16;",
        "requires readonly_and_readwrite_storage_textures;",
        "diagnostic(off, derivative_uniformity);",
    ] {
        let kernel = with_text(linear, format!("// A comment; then\n{directive}\n{}", linear.wgsl));
        assert_refused(directive, no_directives(&kernel), directive.trim_end_matches(';'));
    }
    let second = with_text(linear, format!("diagnostic(off, a);  enable\tf16;\n{}", linear.wgsl));
    assert_refused("two directives", no_directives(&second), "diagnostic(off, a)");
}

#[test]
fn variables_without_values_are_refused() {
    let sequence = &kernel_named("sequence_lstm");
    let passage = "var sums = array<Gates, MAX_ROWS>();";
    for (broken, replacement, reason) in [
        ("an array", "var sums: array<Gates, MAX_ROWS>;", "'var sums: array<Gates, MAX_ROWS>'"),
        ("a break of the line", "var\n    sums:\n array<Gates, MAX_ROWS>; // = 0", "sums"),
        ("an address space", "var<function> sums: array<Gates, MAX_ROWS>;", "<function>"),
        ("a second variable", "var sums = array<Gates, MAX_ROWS>(); var b: bool;", "'var b: bool'"),
        ("a loop's", "for (var k: u32; k < 1u; k++) {} var sums = 0.0;", "'var k: u32'"),
    ] {
        let kernel = with_passage(sequence, passage, replacement);
        assert_refused(broken, variables_have_values(&kernel), reason);
    }
}

#[test]
fn unsafe_functions_are_refused() {
    let lstm = &kernel_named("step_lstm");
    for (function, reason) in
        [("tanh", "advance calls Tanh"), ("sinh", "calls Sinh"), ("cosh", "calls Cosh")]
    {
        let kernel = with_passage(lstm, "o * tanh_exact(cell)", &format!("o * {function}(cell)"));
        assert_refused(function, no_unsafe_functions(&kernel), reason);
    }
    let entry = with_passage(lstm, "if in_range {", "if tanh(f32(lane)) > 0.5 {");
    assert_refused("tanh in the entry point", no_unsafe_functions(&entry), "step calls Tanh");
    let unused =
        with_text(lstm, format!("{}fn unused(x: f32) -> f32 {{ return tanh(x); }}\n", lstm.wgsl));
    assert_refused(
        "tanh in a function that nobody calls",
        no_unsafe_functions(&unused),
        "unused calls Tanh",
    );
    let scale = with_passage(
        lstm,
        "const MAX_ROWS",
        "override SCALE: f32 = 1.0;\noverride S: f32 = tanh(SCALE);\nconst MAX_ROWS",
    );
    assert_refused("tanh of an override", no_unsafe_functions(&scale), "a constant calls Tanh");
}
