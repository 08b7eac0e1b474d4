//! Every specialisation translates to the languages of all platforms.
//!
//! The options are the ones that wgpu gives the writers. The bindings come from the table, as in a
//! pipeline layout. The test writes the whole grid.

use naga::back::{glsl, hlsl, msl, spv};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::{ResourceBinding, ShaderStage};
use wgpu_rnn::internals::kernel::Access;

use crate::specialisation::{grid, specialise};
use crate::{
    Specialised, Subject, Verdict, all_kernels, assert_all_accepted, assert_refused, kernel_named,
    parse,
};

/// Translates a specialised kernel. Fails with the writer's message.
type Writer = fn(&Subject, &Specialised) -> Result<String, String>;

/// Each language, at the lowest version that wgpu supports and at a recent one.
const WRITERS: [(&str, Writer); 10] = [
    ("SPIR-V 1.3", |kernel, specialised| spir_v((1, 3), kernel, specialised)),
    ("SPIR-V 1.6", |kernel, specialised| spir_v((1, 6), kernel, specialised)),
    ("MSL 2.0", |kernel, specialised| msl((2, 0), kernel, specialised)),
    ("MSL 3.2", |kernel, specialised| msl((3, 2), kernel, specialised)),
    ("HLSL 5.1", |kernel, specialised| hlsl(hlsl::ShaderModel::V5_1, kernel, specialised)),
    ("HLSL 6.6", |kernel, specialised| hlsl(hlsl::ShaderModel::V6_6, kernel, specialised)),
    ("GLSL ES 3.1", |kernel, specialised| glsl(glsl::Version::new_gles(310), kernel, specialised)),
    ("GLSL ES 3.2", |kernel, specialised| glsl(glsl::Version::new_gles(320), kernel, specialised)),
    ("GLSL 4.3", |kernel, specialised| glsl(glsl::Version::Desktop(430), kernel, specialised)),
    ("GLSL 4.6", |kernel, specialised| glsl(glsl::Version::Desktop(460), kernel, specialised)),
];

const RESTRICTED: BoundsCheckPolicies = BoundsCheckPolicies {
    index: BoundsCheckPolicy::Restrict,
    buffer: BoundsCheckPolicy::Restrict,
    image_load: BoundsCheckPolicy::Restrict,
    binding_array: BoundsCheckPolicy::Unchecked,
};

/// Returns the bindings of the table, and whether each is written.
fn bindings(kernel: &Subject) -> Vec<(ResourceBinding, bool)> {
    let uniforms = (0..=u32::from(kernel.stepped)).map(|index| (index, false));
    let storage =
        kernel.bindings.iter().map(|binding| (binding.index, binding.access != Access::Read));
    uniforms
        .chain(storage)
        .map(|(binding, mutable)| (ResourceBinding { group: 0, binding }, mutable))
        .collect()
}

/// Translates for Vulkan without any optional feature, except subgroups for kernels that need them.
fn spir_v(
    lang_version: (u8, u8),
    kernel: &Subject,
    specialised: &Specialised,
) -> Result<String, String> {
    let mut capabilities = vec![spv::Capability::Shader];
    if kernel.choices.subgroups == 1 {
        use spv::Capability::{GroupNonUniform, GroupNonUniformShuffle};
        capabilities.extend([GroupNonUniform, GroupNonUniformShuffle]);
    }
    let info = |binding| spv::BindingInfo { descriptor_set: 0, binding, binding_array_size: None };
    let options = spv::Options {
        lang_version,
        fake_missing_bindings: false,
        binding_map: bindings(kernel).into_iter().map(|(at, _)| (at, info(at.binding))).collect(),
        capabilities: Some(capabilities.into_iter().collect()),
        bounds_check_policies: RESTRICTED,
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        ..spv::Options::default()
    };
    let pipeline = spv::PipelineOptions {
        shader_stage: ShaderStage::Compute,
        entry_point: kernel.entry.to_owned(),
    };
    let words = spv::write_vec(&specialised.module, &specialised.info, &options, Some(&pipeline));
    Ok(words
        .map_err(|error| error.to_string())?
        .iter()
        .map(|word| format!("{word:08x} "))
        .collect())
}

/// Translates for Metal: the table's buffers, then the buffer of their sizes.
fn msl(
    lang_version: (u8, u8),
    kernel: &Subject,
    specialised: &Specialised,
) -> Result<String, String> {
    let slots = bindings(kernel).into_iter().zip(0..);
    let target = |slot, mutable| msl::BindTarget {
        buffer: Some(slot),
        mutable,
        ..msl::BindTarget::default()
    };
    let resources = msl::EntryPointResources {
        sizes_buffer: Some(bindings(kernel).len() as u8),
        resources: slots.map(|((at, mutable), slot)| (at, target(slot, mutable))).collect(),
        immediates_buffer: None,
    };
    let options = msl::Options {
        lang_version,
        per_entry_point_map: [(kernel.entry.to_owned(), resources)].into(),
        fake_missing_bindings: false,
        bounds_check_policies: RESTRICTED,
        zero_initialize_workgroup_memory: false,
        ..msl::Options::default()
    };
    let pipeline = msl::PipelineOptions {
        entry_point: Some((ShaderStage::Compute, kernel.entry.to_owned())),
        ..msl::PipelineOptions::default()
    };
    let written = msl::write_string(&specialised.module, &specialised.info, &options, &pipeline);
    let (text, info) = written.map_err(|error| error.to_string())?;
    info.entry_point_names
        .into_iter()
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| error.to_string())?;
    Ok(text)
}

/// Translates for Direct3D 12.
fn hlsl(
    shader_model: hlsl::ShaderModel,
    kernel: &Subject,
    specialised: &Specialised,
) -> Result<String, String> {
    let target = |register| hlsl::BindTarget { register, ..hlsl::BindTarget::default() };
    let options = hlsl::Options {
        shader_model,
        binding_map: bindings(kernel).into_iter().map(|(at, _)| (at, target(at.binding))).collect(),
        fake_missing_bindings: false,
        zero_initialize_workgroup_memory: false,
        ..hlsl::Options::default()
    };
    let pipeline = hlsl::PipelineOptions {
        entry_point: Some((ShaderStage::Compute, kernel.entry.to_owned())),
    };
    let mut text = String::new();
    let written = hlsl::Writer::new(&mut text, &options, &pipeline).write(
        &specialised.module,
        &specialised.info,
        None,
    );
    let info = written.map_err(|error| error.to_string())?;
    info.entry_point_names
        .into_iter()
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| error.to_string())?;
    Ok(text)
}

/// Translates for OpenGL, where wgpu leaves bounds to the driver.
fn glsl(
    version: glsl::Version,
    kernel: &Subject,
    specialised: &Specialised,
) -> Result<String, String> {
    let options = glsl::Options {
        version,
        binding_map: bindings(kernel).into_iter().map(|(at, _)| (at, at.binding as u8)).collect(),
        zero_initialize_workgroup_memory: false,
        ..glsl::Options::default()
    };
    let pipeline = glsl::PipelineOptions {
        shader_stage: ShaderStage::Compute,
        entry_point: kernel.entry.to_owned(),
        multiview: None,
    };
    let mut text = String::new();
    let policies = BoundsCheckPolicies::default();
    glsl::Writer::new(
        &mut text,
        &specialised.module,
        &specialised.info,
        &options,
        &pipeline,
        policies,
    )
    .and_then(|mut writer| writer.write())
    .map_err(|error| error.to_string())?;
    Ok(text)
}

/// Returns whether devices of a language have the features by which plans choose the fragments of a
/// kernel.
fn has_features(language: &str, kernel: &Subject) -> bool {
    let subgroups = ["SPIR-V", "MSL 3", "HLSL 6", "GLSL 4.6"];
    let volatile = ["SPIR-V"];
    let among = |languages: &[&str]| languages.iter().any(|start| language.starts_with(start));
    (kernel.choices.subgroups == 0 || among(&subgroups))
        && (kernel.choices.volatile == 0 || among(&volatile))
}

/// Every writer accepts every point of the grid.
fn all_are_written(kernel: &Subject) -> Verdict {
    let shader = parse(&kernel.wgsl)?;
    for values in grid(kernel) {
        let specialised =
            specialise(&shader, kernel, &values).map_err(|error| format!("{values:?}: {error}"))?;
        let [x, y, z] = kernel.workgroup(&values).size;
        for (language, write) in WRITERS {
            if !has_features(language, kernel) {
                continue;
            }
            let text = write(kernel, &specialised)
                .map_err(|error| format!("{language}, {values:?}: {error}"))?;
            // Metal receives the size with each dispatch.
            let size = match language.split(' ').next() {
                // ExecutionMode LocalSize.
                Some("SPIR-V") => format!("00000011 {x:08x} {y:08x} {z:08x} "),
                Some("MSL") => "kernel void".to_owned(),
                Some("HLSL") => format!("[numthreads({x}, {y}, {z})]"),
                _ => format!("local_size_x = {x}, local_size_y = {y}, local_size_z = {z}"),
            };
            if !text.contains(&size) {
                return Err(format!("{language}, {values:?}: there is no '{size}'"));
            }
        }
    }
    Ok(())
}

#[test]
fn every_specialisation_is_written_in_every_language() {
    assert_all_accepted(all_are_written);
}

#[test]
fn specialisations_differ_in_every_language() {
    for kernel in &all_kernels() {
        if kernel.overrides.is_empty() {
            continue;
        }
        let shader = parse(&kernel.wgsl).unwrap_or_else(|e| panic!("{}: {e}", kernel.name));
        let points = grid(kernel);
        let [first, last] = [&points[0], &points[points.len() - 1]].map(|values| {
            specialise(&shader, kernel, values)
                .unwrap_or_else(|e| panic!("{} {values:?}: {e}", kernel.name))
        });
        for (language, write) in WRITERS {
            if !has_features(language, kernel) {
                continue;
            }
            let [first, last] = [&first, &last].map(|specialised| {
                write(kernel, specialised)
                    .unwrap_or_else(|e| panic!("{} in {language}: {e}", kernel.name))
            });
            assert_ne!(first, last, "{} in {language} ignores its overrides", kernel.name);
        }
    }
}

#[test]
fn kernels_that_a_writer_cannot_take_are_refused() {
    let linear = &kernel_named("tile");
    let shader = parse(&linear.wgsl).expect("the kernel is valid");
    let specialised = specialise(&shader, linear, &grid(linear)[0]).expect("legal values");
    // OpenGL finds an unmapped binding by its name.
    let unmapped = Subject { bindings: linear.bindings[1..].to_vec(), ..linear.clone() };
    for (language, write) in
        WRITERS.into_iter().filter(|(language, _)| !language.starts_with("GLSL"))
    {
        assert_refused(language, write(&unmapped, &specialised).map(|_| ()), "binding: 1");
    }
    let other = Subject { entry: "main", ..linear.clone() };
    for (language, write) in WRITERS {
        let reason = if language.starts_with("SPIR-V") || language.starts_with("GLSL") {
            "entry point"
        } else {
            "main"
        };
        assert_refused(language, write(&other, &specialised).map(|_| ()), reason);
    }
    let unspecialised = Specialised { module: shader.module, info: shader.info };
    for (language, write) in WRITERS {
        assert_refused(language, write(linear, &unspecialised).map(|_| ()), "verride");
    }
    let old = glsl(glsl::Version::new_gles(300), linear, &specialised);
    assert_refused("a version without compute", old.map(|_| ()), "COMPUTE_SHADER");
}

#[test]
fn a_size_that_was_not_written_is_refused() {
    let smaller = crate::with_passage(
        &kernel_named("tile"),
        "@workgroup_size(WORKGROUP_SIZE)",
        "@workgroup_size(WORKGROUP_SIZE / 2u)",
    );
    assert_refused(
        "another size than the table's",
        all_are_written(&smaller),
        "there is no '00000011 00000020 00000001",
    );
}
