//! `wgpu-rnn devices`, and the names that select a device.

use crate::files::{Folder, f32s, fixture, weights};
use crate::program::{assert_keys, finish, wgpu_rnn, without_adapters};
use crate::seeded;

#[test]
fn the_cpu_is_always_listed() {
    for command in [crate::program::command(&["devices"]), without_adapters(&["devices"])] {
        let ran = finish(command).ended(0).says(&["cpu"]);
        assert_eq!(
            ran.stdout.matches("<- auto").count(),
            1,
            "one device is the default: {}",
            ran.told()
        );
    }
}

#[test]
fn json_lists_every_device() {
    let report = wgpu_rnn(&["devices", "--json"]).ended(0).json();
    let devices = report["devices"].as_array().expect("devices is a list");
    for (index, device) in devices.iter().enumerate() {
        assert_keys(
            "a device",
            device,
            &["index", "name", "backend", "type", "driver", "auto", "limits"],
        );
        let cpu = index + 1 == devices.len();
        let want = if cpu { serde_json::Value::Null } else { index.into() };
        assert_eq!(device["index"], want, "what --device takes: {device}");
        assert_eq!(device["limits"].is_null(), cpu, "an adapter has limits: {device}");
    }
    assert_eq!(
        devices.last().map(|device| &device["name"]),
        Some(&"cpu".into()),
        "the CPU comes last: {report:#}"
    );
}

#[test]
fn without_an_adapter_the_cpu_is_the_default() {
    let report = finish(without_adapters(&["devices", "--json"])).ended(0).json();
    assert_eq!(report["devices"].as_array().map(Vec::len), Some(1), "{report:#}");
    assert_eq!(report["devices"][0]["auto"], true, "{report:#}");
    let case = fixture("grid_gru_l1_b3_t11_h0.safetensors");
    for device in [&["--device", "auto"][..], &["--device", "all"], &[]] {
        let report = finish(without_adapters(&[&["verify", "--json", &case], device].concat()))
            .ended(0)
            .json();
        assert_eq!(report["results"][0]["device"], "cpu", "{device:?}: {report:#}");
        assert_eq!(report["results"].as_array().map(Vec::len), Some(1), "{device:?}: {report:#}");
    }
}

#[test]
fn an_unknown_device_is_refused_by_name() {
    let case = fixture("grid_gru_l1_b3_t11_h0.safetensors");
    for device in ["no such adapter", "4294967296", "cpux", "-3"] {
        let device_flag = format!("--device={device}");
        wgpu_rnn(&["verify", &device_flag, &case]).refused(&[device]);
        finish(without_adapters(&["verify", &device_flag, &case]))
            .refused(&[device, "this machine has"]);
    }
}

#[test]
fn an_adapter_named_by_the_environment_must_exist() {
    let folder = Folder::new();
    let weights = folder.save("weights.safetensors", &weights(&wgpu_rnn::Config::gru(3, 5), ""));
    let input =
        folder.save("input.safetensors", &[f32s("input", &seeded::tensor(90, &[7, 2, 3], 1.0))]);
    let output = folder.path("output.safetensors");
    let args = ["run", "--weights", &weights, "--input", &input, "--output", &output];
    for device in [&["--device", "auto"][..], &[]] {
        let args = [&args[..], device].concat();
        for mut command in [crate::program::command(&args), without_adapters(&args)] {
            command.env("WGPU_ADAPTER_NAME", "Voodoo 9");
            finish(command).refused(&["WGPU_ADAPTER_NAME: no adapter", "'Voodoo 9'"]);
        }
    }
    // Only `auto` asks the environment.
    let mut command = crate::program::command(&[&args[..], &["--device", "cpu"]].concat());
    command.env("WGPU_ADAPTER_NAME", "Voodoo 9");
    finish(command).ended(0);
    let mut command = crate::program::command(&["devices"]);
    command.env("WGPU_ADAPTER_NAME", "Voodoo 9");
    let ran = finish(command).ended(0);
    assert!(!ran.stdout.contains("<- auto"), "`auto` would be refused: {}", ran.told());
    // An empty name is none.
    let mut command = without_adapters(&[&args[..], &["--device", "auto"]].concat());
    command.env("WGPU_ADAPTER_NAME", "");
    finish(command).ended(0);
}

#[test]
fn an_empty_name_selects_no_device() {
    let case = fixture("grid_gru_l1_b3_t11_h0.safetensors");
    for name in ["", "  "] {
        let device = format!("--device={name}");
        let want = format!("'{name}' names no device; give auto, cpu, an index or part of");
        wgpu_rnn(&["verify", &device, &case]).refused(&[&want]);
    }
}

/// A misspelt variable excludes every adapter. Without its name, the error would be a riddle.
#[test]
fn a_variable_that_excludes_all_adapters_is_named() {
    let case = fixture("grid_gru_l1_b3_t11_h0.safetensors");
    let wrong = "WGPU_BACKEND names the backend 'vulcan', which does not exist; give vulkan";
    for device in ["auto", "0", "llvmpipe", "all"] {
        let mut command = crate::program::command(&["verify", "--device", device, &case]);
        command.env("WGPU_BACKEND", "vulcan");
        finish(command).refused(&[wrong]);
    }
    let mut command = crate::program::command(&["verify", "--device", "cpu", &case]);
    command.env("WGPU_BACKEND", "vulcan");
    finish(command).ended(0);
    for (name, value, part) in [
        ("WGPU_BACKEND", "vulcan", wrong),
        ("WGPU_ADAPTER_NAME", "foo", "WGPU_ADAPTER_NAME: no adapter"),
    ] {
        let mut command = crate::program::command(&["devices"]);
        command.env(name, value);
        let ran = finish(command).ended(0).says(&["cpu"]);
        let note = format!("note: no device is `auto`: {part}");
        assert!(ran.stderr.contains(&note), "'{note}': {}", ran.told());
    }
    finish(without_adapters(&["verify", "--device", "0", &case]))
        .refused(&["there is no adapter 0: this machine has none for WGPU_BACKEND=noop"]);
}
