//! The machine finds what it looks for, in small kernels that are wrong, and accepts right ones.

use bytemuck::Zeroable;
use wgpu_rnn::WeightType;
use wgpu_rnn::internals::kernel::uniforms::{Dims, ProbeDims};
use wgpu_rnn::internals::kernel::{Family, Kernel, Overrides};
use wgpu_rnn::internals::plan::recording::{Dispatch, Place};

use crate::program::Program;
use crate::samples::difference;

/// Words of `y` before a run.
const BEFORE: u32 = 7;

/// Runs a body in two workgroups of 64 invocations. Returns `y`, two words for each invocation.
fn run(body: &str) -> Result<Vec<u32>, String> {
    let text = format!(
        "struct Dims {{ n: u32, tiles: u32, pad: vec2<u32> }}
        @group(0) @binding(0) var<uniform> dims: Dims;
        @group(0) @binding(1) var<storage, read_write> y: array<u32>;
        var<workgroup> sh: array<u32, 64>;
        var<workgroup> quads: array<vec4<u32>, 16>;
        var<workgroup> count: atomic<u32>;
        fn twice(x: u32) -> u32 {{ if x > 100u {{ return 0u; }} return 2u * x; }}
        @compute @workgroup_size(64)
        fn barrier(
            @builtin(local_invocation_index) i: u32,
            @builtin(workgroup_id) workgroup: vec3<u32>,
        ) {{
            let own = workgroup.x * 64u + i;
            {body}
        }}"
    );
    let kernel = Kernel::new(Family::Barrier, WeightType::F32);
    let dispatch = Dispatch {
        kernel,
        place: Place::default(),
        overrides: Overrides::default(),
        dims: Dims::Probe(ProbeDims { iterations: 3, ..ProbeDims::zeroed() }),
        bindings: Vec::new(),
        workgroups: [2, 1, 1],
        in_place: false,
    };
    let program = Program::new(kernel, &dispatch.overrides, text)?;
    Ok(program.run(&dispatch, 0, &[vec![BEFORE; 256]])?.buffers.remove(0))
}

#[test]
fn faults_are_found() {
    let cases = [
        ("sh[i] = i; y[own] = sh[i ^ 1u];", "with no barrier between"),
        ("sh[0] = i;", "sh: invocation 0 writes a word at line 14"),
        ("sh[i] = i; workgroupBarrier(); let x = sh[i ^ 1u]; sh[i] = x;", "reads a word at"),
        ("if i < 3u { sh[0] = 1u; }", "and invocation 1 writes it"),
        ("sh[i] = i; storageBarrier(); y[own] = sh[i ^ 1u];", "with no barrier between"),
        ("sh[i] = i; textureBarrier(); y[own] = sh[i ^ 1u];", "is not interpreted"),
        // In storage.
        ("y[i] = 1u;", "y: invocation 0 writes a word at line 14"),
        ("y[own] = 1u; workgroupBarrier(); y[own + 128u] = y[own ^ 1u];", "no barrier between"),
        ("let x = y[(own + 64u) % 128u]; workgroupBarrier(); y[own] = x;", "no barrier between"),
        // Atomics of different kinds.
        ("atomicStore(&count, 1u);", "count: invocation 0 writes"),
        ("if i == 0u { atomicStore(&count, 1u); } atomicAdd(&count, 1u);", "count: invocation 0"),
        ("atomicAdd(&count, 1u); y[own] = atomicLoad(&count);", "count: invocation"),
        ("atomicAdd(&count, 1u); atomicMax(&count, 1u);", "count: invocation"),
        // A component is a part of its vector.
        ("quads[i / 4u][i % 4u] = i;", "quads: invocation 0 writes"),
        // Outside, and nothing yet.
        ("y[own + 129u] = 1u;", "y has 256 words, not word 256"),
        ("sh[i + 1u] = 1u;", "index 64 of 64 at line 14"),
        ("y[own] = sh[i];", "nothing has written word 0"),
        ("if i < 3u { workgroupBarrier(); }", "3 of 64 invocations are at line 14"),
        ("loop { if dims.n == 4u { break; } }", "a loop has more than"),
    ];
    for (body, reason) in cases {
        match run(body) {
            Ok(_) => panic!("{body}: accepted, want '{reason}'"),
            Err(error) => assert!(error.contains(reason), "{body}: '{error}', want '{reason}'"),
        }
    }
}

/// A word of `y`, by its place.
type Want = fn(u32) -> u32;

#[test]
fn right_kernels_give_right_values() {
    let cases: [(&str, Want); 9] = [
        ("sh[i] = i; workgroupBarrier(); y[own] = sh[i ^ 1u];", |own| (own % 64) ^ 1),
        ("let x = y[own ^ 1u]; workgroupBarrier(); y[own] = x + own;", |own| BEFORE + own),
        (
            "if i == 0u { atomicStore(&count, 1u); } workgroupBarrier(); atomicAdd(&count, 2u);
             workgroupBarrier(); y[own] = atomicLoad(&count);",
            |_| 129,
        ),
        (
            "y[own] = own; storageBarrier(); let x = y[own ^ 1u]; workgroupBarrier(); y[own] = x;",
            |own| own ^ 1,
        ),
        ("y[own] = twice(own);", |own| if own > 100 { 0 } else { 2 * own }),
        (
            "var sum = 0u; for (var k = 0u; k < i; k++) { if k % 2u == 0u { continue; } sum += k; }
             y[own] = sum;",
            |own| (0..own % 64).filter(|k| k % 2 == 1).sum(),
        ),
        (
            "var k = 0u; loop { if k > i { break; } continuing { k += dims.n; break if k > 9u; } }
             y[own] = k;",
            |own| (0..).step_by(3).find(|&k| k > own % 64 || k > 9).unwrap_or(0),
        ),
        ("y[own] = u32(fma(f32(i), 0.5, 1.0)) / 2u % 5u;", |own| {
            ((own % 64) as f32 * 0.5 + 1.0) as u32 / 2 % 5
        }),
        (
            "var v = vec4(1u, 2u, 3u, i); v[i % 3u] = 9u; let m = v.wzyx;
             y[own] = m[i % 4u] + select(0u, 1u, any(m == vec4(9u)));",
            |own| {
                let i = own % 64;
                let mut v = [1, 2, 3, i];
                v[i as usize % 3] = 9;
                v[3 - i as usize % 4] + 1
            },
        ),
    ];
    for (body, want) in cases {
        let y = run(body).unwrap_or_else(|error| panic!("{body}: {error}"));
        let want: Vec<u32> = (0..128).map(want).collect();
        assert_eq!(y[..128], want, "{body}");
        assert_eq!(y[128..], [BEFORE; 128], "{body}: words that nothing writes");
    }
}

#[test]
fn words_that_differ_are_found() {
    let bits = |values: &[f32]| -> Vec<u32> { values.iter().map(|v| v.to_bits()).collect() };
    let want = bits(&[0.5, -0.25, f32::NAN, 0.0]);
    assert_eq!(difference(&want, &want), None, "equal words");
    let rounded = bits(&[0.500_000_1, -0.25, -f32::NAN, -0.0]);
    assert_eq!(difference(&rounded, &want), None, "rounding");
    for (at, wrong) in [(0, 0.500_01), (1, 0.25), (1, f32::NAN), (2, 0.5), (3, f32::INFINITY)] {
        let mut got = want.clone();
        got[at] = f32::to_bits(wrong);
        assert!(difference(&got, &want).is_some(), "{wrong} at {at}");
    }
    assert!(difference(&[3], &[4]).is_some(), "integers");
}
