//! Uniforms on the host have the layout of their WGSL structs. Constants written on both sides are
//! equal.

use std::mem::{offset_of, size_of};

use naga::proc::GlobalCtx;
use naga::{AddressSpace, Expression, Literal, Module, Scalar, TypeInner};
use wgpu_rnn::internals::kernel::families::*;
use wgpu_rnn::internals::kernel::generate::GENERATE_ROWS;
use wgpu_rnn::internals::kernel::network::{operation, order, padding};
use wgpu_rnn::internals::kernel::persistent::{EXCHANGE_START, PERSISTENT_WORKGROUP};
use wgpu_rnn::internals::kernel::tiles::QUARTER_QUADS;
use wgpu_rnn::internals::kernel::uniforms::{
    ContextDims, DropoutDims, EmbedDims, GenerateDims, HistoryDims, LayerNormDims, LinearDims,
    MapDims, NllDims, PackDims, PersistentDims, ProbeDims, ResidenceDims, SampleDims, ScoresDims,
    SequenceDims, SlotsDims, SoftmaxDims, Step, StepDims, UnfoldDims,
};

use crate::{
    Subject, Verdict, all_kernels, assert_all_accepted, assert_refused, kernel_named, parse,
    with_every_passage, with_passage,
};

/// The layout of a struct: its name, its members except padding, the start of padding, its size.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Layout {
    name: String,
    members: Vec<(String, u32)>,
    /// The offset of the padding. Only this counts: one side may declare an array, the other
    /// several members.
    padding: Option<u32>,
    span: u32,
}

/// The layout of a struct whose members, except `pad`, are `u32`, or `f32` if listed as such. An
/// `f32` member has its type in its name. The compiler refuses an incomplete list.
macro_rules! layout_of {
    ($name:ident { $($member:ident),* } $(f32 { $($float:ident),* })?) => {
        layout_of!($name { $($member),* } $(f32 { $($float),* })? padding { pad })
    };
    (
        $name:ident { $($member:ident),* } $(f32 { $($float:ident),* })?
        padding { $($pad:ident)? }
    ) => {{
        fn _members_are_words(
            $name { $($member,)* $($($float,)*)? $($pad: _)? }: &$name
        ) -> (Vec<&u32>, Vec<&f32>) {
            (vec![$($member),*], vec![$($($float),*)?])
        }
        Layout {
            name: stringify!($name).to_owned(),
            members: vec![
                $((stringify!($member).to_owned(), offset_of!($name, $member) as u32),)*
                $($((
                    concat!(stringify!($float), ": f32").to_owned(),
                    offset_of!($name, $float) as u32,
                ),)*)?
            ],
            padding: [$(offset_of!($name, $pad) as u32)?].first().copied(),
            span: size_of::<$name>() as u32,
        }
    }};
}

/// Returns the layout of every struct in `uniforms.rs`.
fn host_layouts() -> [Layout; 21] {
    [
        layout_of!(LinearDims {
            steps,
            batch,
            directions,
            columns,
            halves,
            half_quads,
            y_row_stride,
            y_direction_stride,
            y_offset,
            row_tiles,
            column_tiles,
            weight_base,
            x_first_row,
            x_direction_rows
        }),
        layout_of!(StepDims {
            seq_len,
            first_step,
            batch,
            directions,
            hidden_size,
            state_quads,
            units,
            unit_offset,
            unit_tiles,
            row_tiles,
            weight_base,
            first_index,
            layer_delay,
            steps
        }),
        layout_of!(SequenceDims {
            seq_len,
            first_step,
            first_index,
            steps,
            batch,
            directions,
            hidden_size,
            state_quads,
            row_tiles,
            weight_base
        }),
        layout_of!(PersistentDims {
            seq_len,
            first_step,
            first_index,
            steps,
            batch,
            directions,
            hidden_size,
            state_quads,
            unit_tiles,
            row_tiles,
            weight_base,
            spins
        } padding {}),
        layout_of!(Step { index }),
        layout_of!(EmbedDims { rows, first_token, tokens, quads } padding {}),
        layout_of!(DropoutDims {
            steps,
            first_step,
            seq_len,
            batch,
            directions,
            quads,
            site,
            threshold
        } f32 { scale }),
        layout_of!(NllDims { rows, columns }),
        layout_of!(SampleDims { batch, columns }),
        layout_of!(GenerateDims {
            steps,
            first_step,
            batch,
            layers,
            hidden_size,
            state_quads,
            input_quads,
            ntoken,
            decoder,
            workgroups,
            spins
        }),
        layout_of!(SlotsDims { rows, width, stride, offset } padding {}),
        layout_of!(PackDims {
            steps,
            batch,
            directions,
            features,
            width,
            first_step,
            seq_len,
            offset,
            step_stride,
            row_stride
        }),
        layout_of!(MapDims {
            rows,
            features,
            x_stride,
            y_stride,
            other_stride,
            other_step,
            operation,
            function
        } f32 { slope }),
        layout_of!(UnfoldDims {
            rows,
            positions,
            outputs,
            channels,
            groups,
            kernel,
            stride,
            dilation,
            padding,
            mode,
            x_row_stride,
            x_position_stride,
            x_channel_stride,
            width,
            order
        }),
        layout_of!(HistoryDims { rows, length, channels, steps, x_row_stride, x_step_stride }),
        layout_of!(LayerNormDims { rows, features, stride } f32 { eps } padding {}),
        layout_of!(SoftmaxDims { rows, columns, stride, is_log, batch }),
        layout_of!(ScoresDims {
            batch,
            steps,
            features,
            query_stride,
            keys_stride,
            y_stride,
            additive
        }),
        layout_of!(ContextDims { batch, steps, features, shares_stride, memory_stride, y_stride }),
        layout_of!(ProbeDims { iterations, tiles }),
        layout_of!(ResidenceDims { rounds, looks, keep }),
    ]
}

/// Returns whether the name is `pad`, or `pad` and a number.
fn is_padding(member: &str) -> bool {
    member
        .strip_prefix("pad")
        .is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Returns the layouts of a module's uniforms, whose members must be `u32` or `f32`.
fn reflected(module: &Module) -> Result<Vec<Layout>, String> {
    let mut layouts = Vec::new();
    for (_, variable) in module
        .global_variables
        .iter()
        .filter(|(_, variable)| variable.space == AddressSpace::Uniform)
    {
        let ty = &module.types[variable.ty];
        let (Some(name), TypeInner::Struct { members, span }) = (&ty.name, &ty.inner) else {
            return Err(format!("the uniform {:?} is not a struct", variable.name));
        };
        let mut layout =
            Layout { name: name.clone(), members: Vec::new(), padding: None, span: *span };
        for member in members {
            let member_name = member.name.clone().unwrap_or_default();
            if is_padding(&member_name) {
                layout.padding.get_or_insert(member.offset);
                continue;
            }
            let member_name = match module.types[member.ty].inner {
                TypeInner::Scalar(Scalar::U32) => member_name,
                TypeInner::Scalar(Scalar::F32) => format!("{member_name}: f32"),
                _ => return Err(format!("{name}.{member_name} is neither u32 nor f32")),
            };
            layout.members.push((member_name, member.offset));
        }
        layouts.push(layout);
    }
    Ok(layouts)
}

/// Every uniform of the kernel equals a struct in `uniforms.rs`.
fn layouts_agree(kernel: &Subject) -> Verdict {
    for got in reflected(&parse(&kernel.wgsl)?.module)? {
        let hosts = host_layouts();
        let want = hosts.iter().find(|host| host.name == got.name);
        let want = want.ok_or_else(|| format!("there is no {} on the host", got.name))?;
        if got != *want {
            return Err(format!("WGSL lays out {got:?}, the host {want:?}"));
        }
    }
    Ok(())
}

/// Returns the value of a `const` of type `u32`.
fn constant(module: &Module, name: &str) -> Option<u32> {
    let (_, constant) =
        module.constants.iter().find(|(_, constant)| constant.name.as_deref() == Some(name))?;
    let GlobalCtx { global_expressions, .. } = module.to_ctx();
    match global_expressions[constant.init] {
        Expression::Literal(Literal::U32(value)) => Some(value),
        _ => None,
    }
}

/// The functions of products and of `map`.
const FUNCTIONS: [(&str, usize); 8] = [
    ("FUNCTION_NONE", activation::NONE as usize),
    ("FUNCTION_SIGMOID", activation::SIGMOID as usize),
    ("FUNCTION_RELU", activation::RELU as usize),
    ("FUNCTION_TANH", activation::TANH as usize),
    ("FUNCTION_SILU", activation::SILU as usize),
    ("FUNCTION_GELU", activation::GELU as usize),
    ("FUNCTION_GELU_TANH", activation::GELU_TANH as usize),
    ("FUNCTION_LEAKY_RELU", activation::LEAKY_RELU as usize),
];

/// Constants that the kernel shares with planning are equal on both sides.
fn constants_agree(kernel: &Subject) -> Verdict {
    let step_rows = ("MAX_ROWS", STEP_MAX_ROWS as usize);
    let gates = ("GATE_COUNT", kernel.kernel.cell.map_or(1, |cell| cell.gates()));
    let quarter = ("QUARTER_STEP", QUARTER_QUADS);
    let copies = ("WORKGROUP_SIZE", COPIES_PER_WORKGROUP);
    let probe = ("WORKGROUP_SIZE", PROBE_WORKGROUP);
    let with_functions = |more: &[_]| [&FUNCTIONS, more].concat();
    let want = match kernel.kernel.family {
        Family::Tile => with_functions(&[quarter]),
        Family::Matvec => with_functions(&[
            quarter,
            ("GROUPS", MATVEC_GROUPS),
            ("WORKGROUP_SIZE", 4 * MATVEC_GROUPS),
        ]),
        Family::Step
        | Family::StepWave
        | Family::StepUnprojected
        | Family::StepProjection
        | Family::StepCandidate => vec![step_rows, gates],
        Family::StepTiled
        | Family::StepTiledUnprojected
        | Family::StepTiledProjection
        | Family::StepTiledCandidate
        | Family::StepTiledWave => {
            let units = kernel.kernel.cell.map_or(4, |cell| cell.units_of_quad());
            vec![quarter, gates, ("UNITS", units)]
        }
        Family::Sequence => {
            vec![step_rows, gates, ("MAX_REGISTER_QUADS", SEQUENCE_REGISTER_QUADS)]
        }
        Family::Persistent => vec![
            gates,
            ("WORKGROUP_SIZE", PERSISTENT_WORKGROUP as usize),
            ("EXCHANGE_START", EXCHANGE_START),
            ("UNITS", kernel.choices.units as usize),
        ],
        Family::Embed
        | Family::Dropout
        | Family::Pack
        | Family::Unpack
        | Family::History
        | Family::Context => vec![copies],
        Family::Nll | Family::LayerNorm | Family::Softmax | Family::Scores => vec![],
        Family::Map => with_functions(&[
            copies,
            ("ADD", operation::ADD as usize),
            ("MULTIPLY", operation::MULTIPLY as usize),
            ("MAGNITUDE", operation::MAGNITUDE as usize),
        ]),
        Family::Unfold => vec![
            copies,
            ("REFLECT", padding::REFLECT as usize),
            ("REPLICATE", padding::REPLICATE as usize),
            ("CIRCULAR", padding::CIRCULAR as usize),
            ("HISTORY", padding::HISTORY as usize),
            ("TIME_MAJOR", order::TIME_MAJOR as usize),
            ("CHANNELS_FIRST", order::CHANNELS_FIRST as usize),
        ],
        Family::Gather | Family::Scatter => vec![copies, ("NO_SLOT", NO_SLOT as usize)],
        Family::Sample => {
            vec![("NO_TOKEN", NO_TOKEN as usize), ("SAMPLE_SITE", SAMPLE_SITE as usize)]
        }
        Family::Generate => vec![
            gates,
            ("MAX_ROWS", GENERATE_ROWS as usize),
            ("EXCHANGE_START", EXCHANGE_START),
            ("NO_TOKEN", NO_TOKEN as usize),
            ("SAMPLE_SITE", SAMPLE_SITE as usize),
        ],
        Family::Chain | Family::Barrier | Family::MultiplyAdd => vec![probe],
        Family::Residence => vec![("WORKGROUP_SIZE", RESIDENCE_WORKGROUP)],
        Family::Bandwidth => {
            vec![("WORKGROUP_SIZE", BANDWIDTH_TILE_QUADS), ("BLOCK_TILES", BANDWIDTH_BLOCK_TILES)]
        }
    };
    let module = parse(&kernel.wgsl)?.module;
    for (name, want) in want {
        let got = constant(&module, name);
        if got.map(|value| value as usize) != Some(want) {
            return Err(format!("{name} is {got:?} in WGSL, {want} on the host"));
        }
    }
    Ok(())
}

#[test]
fn uniforms_have_the_layout_of_their_structs() {
    assert_all_accepted(layouts_agree);
    let reflect = |kernel: Subject| {
        let shader = parse(&kernel.wgsl).unwrap_or_else(|e| panic!("{}: {e}", kernel.name));
        reflected(&shader.module).expect("accepted above")
    };
    let found: Vec<Layout> = all_kernels().into_iter().flat_map(reflect).collect();
    for host in host_layouts() {
        assert!(found.contains(&host), "no kernel has the uniform {}", host.name);
    }
}

#[test]
fn constants_are_those_of_the_host() {
    assert_all_accepted(constants_agree);
}

#[test]
fn structs_that_differ_from_the_host_are_refused() {
    let step = &kernel_named("step_lstm");
    let swapped =
        ("    seq_len: u32,\n    first_step: u32,", "    first_step: u32,\n    seq_len: u32,");
    let cases = [
        ("members in another order", swapped, r#"members: [("first_step", 0), ("seq_len", 4)"#),
        (
            "an aligned member",
            ("    batch: u32,", "    @align(16) batch: u32,"),
            r#"("batch", 16)"#,
        ),
        ("no padding", ("    pad: vec2<u32>,\n", ""), "padding: None"),
        ("less padding", ("    pad: vec2<u32>,", "    pad: u32,"), "span: 60"),
        ("a larger struct", ("    pad2: u32,\n", "    pad2: vec2<u32>,\n"), "span: 24"),
        (
            "a member more",
            ("    pad: vec2<u32>,", "    more: u32,\n    pad: u32,"),
            r#"("more", 56)"#,
        ),
        (
            "a struct of another name",
            ("struct Step {", "alias Step = At;\nstruct At {"),
            "there is no At on the host",
        ),
    ];
    for (broken, (passage, replacement), reason) in cases {
        assert_refused(broken, layouts_agree(&with_passage(step, passage, replacement)), reason);
    }
    let renamed = with_every_passage(step, "unit_tiles", "tiles");
    assert_refused("a member of another name", layouts_agree(&renamed), r#"("tiles", 32)"#);
    let signed = with_passage(step, "    unit_tiles: u32,", "    unit_tiles: i32,");
    let signed = with_every_passage(&signed, "dims.unit_tiles", "u32(dims.unit_tiles)");
    assert_refused(
        "a signed member",
        layouts_agree(&signed),
        "StepDims.unit_tiles is neither u32 nor f32",
    );
    let float = with_passage(step, "    unit_tiles: u32,", "    unit_tiles: f32,");
    let float = with_every_passage(&float, "dims.unit_tiles", "u32(dims.unit_tiles)");
    assert_refused("a member that is a float", layouts_agree(&float), r#"("unit_tiles: f32", 32)"#);
    let word = with_passage(&kernel_named("dropout"), "    scale: f32,", "    scale: u32,");
    let word = with_every_passage(&word, "dims.scale", "f32(dims.scale)");
    assert_refused("a float that is a word", layouts_agree(&word), r#"("scale", 32)"#);
    let vector = with_passage(step, "> step_at: Step;", "> step_at: vec4<u32>;");
    let vector = with_every_passage(&vector, "step_at.index", "step_at.x");
    assert_refused("no struct", layouts_agree(&vector), "is not a struct");
}

#[test]
fn constants_that_differ_from_the_host_are_refused() {
    let quarter =
        with_passage(&kernel_named("tile"), "const QUARTER_STEP = 8u;", "const QUARTER_STEP = 4u;");
    assert_refused(
        "another quarter",
        constants_agree(&quarter),
        "QUARTER_STEP is Some(4) in WGSL, 8 on the host",
    );
    let rows =
        with_passage(&kernel_named("step_gru"), "const MAX_ROWS = 8u;", "const MAX_ROWS = 4u;");
    assert_refused(
        "fewer rows",
        constants_agree(&rows),
        "MAX_ROWS is Some(4) in WGSL, 8 on the host",
    );
    let gates =
        with_passage(&kernel_named("step_gru"), "const GATE_COUNT = 3u;", "const GATE_COUNT = 4u;");
    assert_refused(
        "another gate count",
        constants_agree(&gates),
        "GATE_COUNT is Some(4) in WGSL, 3 on the host",
    );
    let function = with_passage(
        &kernel_named("map"),
        "const FUNCTION_GELU = 5u;",
        "const FUNCTION_GELU = 8u;",
    );
    assert_refused(
        "another function",
        constants_agree(&function),
        "FUNCTION_GELU is Some(8) in WGSL, 5 on the host",
    );
    let tile = kernel_named("tile");
    let gone = Subject { wgsl: kernel_named("step_rnn").wgsl, ..tile };
    assert_refused(
        "a constant that is gone",
        constants_agree(&gone),
        "FUNCTION_NONE is None in WGSL",
    );
}
