//! Checks of every combination of override values that a plan may choose. wgpu does not check them.
//!
//! The grid also guards against a defect of naga 30. Specialising panics if an unnamed expression
//! is an array's size and stands before a named override.

use std::collections::BTreeSet;

use bytemuck::Zeroable;
use naga::back::pipeline_constants::PipelineConstantError;
use naga::proc::Layouter;
use naga::{AddressSpace, Expression, Module};
use wgpu_rnn::Error;
use wgpu_rnn::internals::kernel::families::activation;
use wgpu_rnn::internals::kernel::persistent::Persistent;
use wgpu_rnn::internals::kernel::uniforms::Dims;
use wgpu_rnn::internals::kernel::{Family, Override, WorkgroupUse};
use wgpu_rnn::internals::plan::Needs;
use wgpu_rnn::internals::plan::limits::Limits;

use crate::combinations::{Values, covering};
use crate::{
    Shader, Specialised, Subject, Verdict, assert_all_accepted, assert_refused, kernel_named,
    parse, unknown_override, wgsl, with_passage,
};

/// WebGPU's default limits of a workgroup: size along x, y and z, invocations, bytes of memory.
const DEFAULTS: [(&str, u32); 5] = [
    ("max_compute_workgroup_size_x", 256),
    ("max_compute_workgroup_size_y", 256),
    ("max_compute_workgroup_size_z", 64),
    ("max_compute_invocations_per_workgroup", 256),
    ("max_compute_workgroup_storage_size", 16_384),
];

/// Returns every combination of the legal values. A product meets each of its functions in one
/// shape, and each shape with one function. `persistent` and `generate` have too many combinations:
/// it returns some that cover every value.
pub(crate) fn grid(kernel: &Subject) -> Vec<Values> {
    let mut all = product(kernel);
    match kernel.kernel.family {
        Family::Matvec | Family::Tile => {
            let shape = |values: &Values| -> Values {
                values.iter().copied().filter(|(name, _)| *name != "ACTIVATION").collect()
            };
            let first = shape(&all[0]);
            let plain = ("ACTIVATION", activation::NONE);
            all.retain(|values| values.contains(&plain) || shape(values) == first);
            return all;
        }
        Family::Persistent => {
            all.retain(|values| Persistent::of(&kernel.typed(values)).is_legal());
        }
        Family::Generate => {}
        _ => return all,
    }
    covering(&all)
}

fn product(kernel: &Subject) -> Vec<Values> {
    kernel.overrides.iter().fold(vec![Vec::new()], |points, Override { name, values, .. }| {
        let with_value =
            |point: &Values, value| point.iter().copied().chain([(*name, value)]).collect();
        points
            .iter()
            .flat_map(|point| values.iter().map(|&value| with_value(point, value)))
            .collect()
    })
}

/// Specialises the module of a kernel.
pub(crate) fn specialise(
    shader: &Shader,
    kernel: &Subject,
    values: &[(&'static str, u32)],
) -> Result<Specialised, Box<PipelineConstantError>> {
    wgsl::specialise(shader, kernel.entry, values)
}

/// Returns workgroup size and memory. As in WebGPU, each variable takes a multiple of 16 bytes.
fn reflected(module: &Module) -> Result<WorkgroupUse, String> {
    let mut layouter = Layouter::default();
    layouter.update(module.to_ctx()).map_err(|error| error.to_string())?;
    let workgroup = module
        .global_variables
        .iter()
        .filter(|(_, variable)| variable.space == AddressSpace::WorkGroup);
    let storage =
        workgroup.map(|(_, variable)| layouter[variable.ty].size.next_multiple_of(16)).sum();
    Ok(WorkgroupUse { size: module.entry_points[0].workgroup_size, storage })
}

/// Returns the default limits that this use exceeds.
fn exceeded(needs: &WorkgroupUse) -> Vec<&'static str> {
    let [x, y, z] = needs.size;
    let needed = [x, y, z, x * y * z, needs.storage];
    DEFAULTS
        .iter()
        .zip(needed)
        .filter(|((_, allowed), needed)| needed > allowed)
        .map(|((name, _), _)| *name)
        .collect()
}

/// Returns the needs that plans check for a point. All sizes are 0, so that loops do not iterate.
fn needs(kernel: &Subject, values: &Values) -> Needs {
    // A row treats the dims of another family as no work.
    let dims = if kernel.kernel.family == Family::Tile {
        Dims::Step(Zeroable::zeroed())
    } else {
        Dims::Linear(Zeroable::zeroed())
    };
    Needs {
        workgroup: kernel.workgroup(values),
        bindings: kernel.bindings.len(),
        loop_iterations: kernel.kernel.loop_iterations(&dims, &kernel.typed(values)),
    }
}

/// Every point of the grid specialises, needs the resources that the table states, and stays within
/// WebGPU's default limits. Plans refuse other points by the name of the limit.
fn grid_agrees(kernel: &Subject) -> Verdict {
    let shader = parse(&kernel.wgsl)?;
    let limits = Limits::of(&wgpu::Limits::defaults(), false);
    for values in grid(kernel) {
        let specialised =
            specialise(&shader, kernel, &values).map_err(|error| format!("{values:?}: {error}"))?;
        let (got, want) = (reflected(&specialised.module)?, kernel.workgroup(&values));
        if got != want {
            return Err(format!("{values:?}: WGSL needs {got:?}, the table says {want:?}"));
        }
        let exceeded = exceeded(&got);
        match needs(kernel, &values).check(&kernel.name, &limits) {
            Ok(()) if exceeded.is_empty() => {}
            Ok(()) => return Err(format!("{values:?}: plans accept what exceeds {exceeded:?}")),
            Err(Error::Limit { limit, .. }) if exceeded.contains(&limit) => {}
            Err(error) => {
                return Err(format!("{values:?}: plans refuse what exceeds {exceeded:?}: {error}"));
            }
        }
    }
    Ok(())
}

/// The table lists every override of the text, except overrides computed from others.
fn overrides_are_listed(kernel: &Subject) -> Verdict {
    let module = parse(&kernel.wgsl)?.module;
    let mut chosen = BTreeSet::new();
    for (_, declared) in module.overrides.iter() {
        let computed = declared.init.is_some_and(|init| {
            !matches!(
                module.global_expressions[init],
                Expression::Literal(_) | Expression::Constant(_) | Expression::ZeroValue(_)
            )
        });
        if !computed {
            chosen.insert(declared.name.as_deref().unwrap_or_default());
        }
    }
    let listed: BTreeSet<&str> = kernel.overrides.iter().map(|entry| entry.name).collect();
    if chosen != listed {
        return Err(format!("the overrides are {chosen:?}, the table's {listed:?}"));
    }
    match kernel.overrides.iter().find(|entry| entry.values.is_empty()) {
        Some(entry) => Err(format!("{} has no legal value", entry.name)),
        None => Ok(()),
    }
}

#[test]
fn every_specialisation_needs_what_the_table_says() {
    assert_all_accepted(grid_agrees);
}

#[test]
fn overrides_are_those_of_the_table() {
    assert_all_accepted(overrides_are_listed);
}

#[test]
fn the_grid_is_complete() {
    let points = grid(&kernel_named("step_rnn"));
    assert_eq!(points.len(), 2 * 4 * 4 * 2, "every combination of the four overrides of step_rnn");
    assert_eq!(points.iter().collect::<BTreeSet<_>>().len(), points.len(), "no combination twice");
    let held = grid(&kernel_named("persistent_gru"));
    assert!(held.len() >= 7, "each of the seven numbers of rows: {held:?}");
    assert_eq!(
        grid(&Subject { overrides: Vec::new(), ..kernel_named("tile") }),
        [[]],
        "one pipeline without overrides"
    );
}

#[test]
fn unknown_constants_are_errors() {
    assert_all_accepted(|kernel| {
        let shader = parse(&kernel.wgsl)?;
        let mut values = grid(kernel).remove(0);
        values.push(("NO_SUCH_OVERRIDE", 1));
        match specialise(&shader, kernel, &values).map_err(|error| *error) {
            Err(PipelineConstantError::NotFound(name)) if name == "NO_SUCH_OVERRIDE" => Ok(()),
            Err(error) => Err(format!("refused for another reason: {error}")),
            Ok(_) => Err("an unknown constant was accepted".to_owned()),
        }
    });
}

#[test]
fn empty_workgroups_are_errors() {
    assert_all_accepted(|kernel| {
        if !kernel.overrides.iter().any(|entry| entry.name == "WORKGROUP_SIZE") {
            return Ok(());
        }
        let shader = parse(&kernel.wgsl)?;
        let mut values = grid(kernel).remove(0);
        values.retain(|(name, _)| *name != "WORKGROUP_SIZE");
        values.push(("WORKGROUP_SIZE", 0));
        match specialise(&shader, kernel, &values).map_err(|error| *error) {
            Err(PipelineConstantError::NegativeWorkgroupSize) => Ok(()),
            Err(error) => Err(format!("refused for another reason: {error}")),
            Ok(_) => Err("a workgroup of no invocations was accepted".to_owned()),
        }
    });
}

#[test]
fn tables_that_differ_from_the_text_are_refused() {
    let (linear, step) = (&kernel_named("tile"), &kernel_named("step_lstm"));
    let size = with_passage(
        linear,
        "@workgroup_size(WORKGROUP_SIZE)",
        "@workgroup_size(WORKGROUP_SIZE, 2)",
    );
    assert_refused(
        "another size",
        grid_agrees(&size),
        "WGSL needs WorkgroupUse { size: [32, 2, 1], storage: 3584 }",
    );
    let more =
        with_passage(linear, "u32 = 8u * SLICES * STAGE; ", "u32 = 8u * SLICES * STAGE + 4u; ");
    assert_refused("16 bytes more", grid_agrees(&more), "storage: 3600 }, the table says");
    let sums =
        with_passage(step, "u32 = WORKGROUP_SIZE * ROWS;", "u32 = WORKGROUP_SIZE * (ROWS + 1u);");
    assert_refused(
        "an array of another size",
        grid_agrees(&sums),
        "storage: 1024 }, the table says",
    );
    let unknown = Subject { overrides: vec![unknown_override("TILES", &[1])], ..linear.clone() };
    assert_refused(
        "an override that WGSL lacks",
        grid_agrees(&unknown),
        "'TILES' not found in the shader",
    );
    let empty =
        Subject { overrides: vec![unknown_override("WORKGROUP_SIZE", &[0])], ..step.clone() };
    assert_refused("a workgroup of nothing", grid_agrees(&empty), "strictly positive");
}

#[test]
fn overrides_that_the_table_lacks_are_refused() {
    let linear = &kernel_named("tile");
    let more = with_passage(
        linear,
        "override ACTIVATION",
        "override TILES: u32 = 1u;\noverride ACTIVATION",
    );
    assert_refused(
        "an override more",
        overrides_are_listed(&more),
        r#""TILES", "TILE_COLUMNS", "TILE_ROWS"}, the table's"#,
    );
    let required =
        with_passage(linear, "override ACTIVATION", "override TILES: u32;\noverride ACTIVATION");
    assert_refused(
        "an override without a default",
        overrides_are_listed(&required),
        r#""TILES", "TILE_COLUMNS", "TILE_ROWS"}"#,
    );
    let fewer = Subject { overrides: Vec::new(), ..linear.clone() };
    assert_refused("a row without the override", overrides_are_listed(&fewer), "the table's {}");
    let none = linear.overrides.iter().map(|o| Override { values: &[], ..*o });
    let valueless = Subject { overrides: none.collect(), ..linear.clone() };
    assert_refused(
        "an override that cannot be chosen",
        overrides_are_listed(&valueless),
        "has no legal value",
    );
}

#[test]
fn specialisations_beyond_the_limits_are_refused_by_name() {
    // The grid accepts points that plans refuse.
    let step = &kernel_named("step_lstm");
    let large = [
        ("WORKGROUP_SIZE", 512, "max_compute_invocations_per_workgroup"),
        ("ROWS", 1024, "max_compute_workgroup_storage_size"),
    ];
    for (name, value, want) in large {
        let overrides: Vec<Override> = step
            .overrides
            .iter()
            .map(|entry| {
                if entry.name == name {
                    Override { values: vec![value].leak(), ..*entry }
                } else {
                    *entry
                }
            })
            .collect();
        let kernel = Subject { overrides, ..step.clone() };
        grid_agrees(&kernel).unwrap_or_else(|e| panic!("{name} {value}: {e}"));
        let limits = Limits::of(&wgpu::Limits::defaults(), false);
        match needs(&kernel, &grid(&kernel)[0]).check(&kernel.name, &limits) {
            Err(Error::Limit { limit, .. }) => {
                assert_eq!(limit, want, "the limit that {name} {value} exceeds")
            }
            other => panic!("{name} {value}: want a refusal by {want}, got {other:?}"),
        }
    }
    // The grid refuses a kernel whose real needs exceed the limits while its stated needs do not.
    let linear = &kernel_named("tile");
    let deep = with_passage(linear, "@workgroup_size(WORKGROUP_SIZE)", "@workgroup_size(1, 1, 65)");
    let stated_use = Some(WorkgroupUse { size: [1, 1, 65], storage: 3584 });
    // The least of every override.
    let least = linear.overrides.iter().map(|o| Override { values: &o.values[..1], ..*o });
    let deep = Subject { stated_use, overrides: least.collect(), ..deep };
    let verdict = grid_agrees(&deep);
    assert_refused(
        "a workgroup that is too deep",
        verdict,
        r#"accept what exceeds ["max_compute_workgroup_size_z"]"#,
    );
    // The grid also refuses a kernel that plans refuse although it stays within the limits.
    let bindings = linear.bindings.iter().chain(&linear.bindings).copied().collect();
    let wide = Subject { bindings, ..linear.clone() };
    assert_refused("too many bindings", grid_agrees(&wide), "max_storage_buffers_per_shader_stage");
}
