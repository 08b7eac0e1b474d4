//! Hostile files of `torch.save`: refused with a clear text, nothing run, no large allocation.

use wgpu_rnn::StateDict;

use crate::largest_allocation;
use crate::pickles::*;

/// The message of a file that must be refused, after a check of its allocations.
fn refused(what: &str, file: Vec<u8>) -> String {
    let bytes = file.len();
    let (result, largest) = largest_allocation(|| StateDict::parse("hostile.pt", file));
    // A value of one byte in the pickle takes some forty bytes in memory, in a list that doubles.
    // Large allocations also check that 8 MiB stay free, whatever the file claims.
    let allowed = (100 * bytes + (1 << 16)).max(8 << 20);
    assert!(largest <= allowed, "{what}: {largest} bytes at once for a file of {bytes}");
    match result {
        Ok(file) => panic!("{what}: read as {:?}", file.names().collect::<Vec<_>>()),
        Err(error) => error.to_string(),
    }
}

const VALUES: [u8; 8] = [0, 0, 128, 63, 0, 0, 0, 64];

/// A file with this pickle, and one storage of two values.
fn with(value: &[u8]) -> Vec<u8> {
    saved(&pickle(value), &[&VALUES])
}

/// A state dict with this tensor under the name `w`.
fn of_tensor(tensor: Vec<u8>) -> Vec<u8> {
    with(&dict(&[("w", tensor)]))
}

/// Fails unless each file is refused with its text.
fn all_refused<const N: usize>(files: [(&str, Vec<u8>, &str); N]) {
    for (what, file, part) in files {
        let message = refused(what, file);
        assert!(message.contains(part), "{what}: '{part}' is not in: {message}");
    }
}

pub fn a_state_dict_by_hand_loads() {
    let file = StateDict::parse("by hand", of_tensor(two_values())).expect("nothing is wrong");
    assert_eq!(file.f32("w").expect("a tensor"), [1.0, 2.0], "its values");
    assert_eq!((file.file_type(), file.key()), ("PyTorch (zip)", None), "its type");
    // As many axes as there may be, and a size in the place of the tuple that it is.
    let floats = || storage("0", "FloatStorage", 2);
    let axes = of_tensor(tensor(floats(), 0, &[1; 16], &[1; 16]));
    let file = StateDict::parse("16 axes", axes).expect("16 axes are read");
    assert_eq!(file.f32("w").expect("a tensor"), [1.0], "of 16 axes");
    let shape = call(&global("torch", "Size"), &[tuple(&[int(2)])]);
    let strides = tuple(&[int(1)]);
    let old = call(&global("torch._utils", "_rebuild_tensor"), &[floats(), int(0), shape, strides]);
    let file = StateDict::parse("a size", of_tensor(old)).expect("torch.Size is a tuple");
    assert_eq!(file.f32("w").expect("a tensor"), [1.0, 2.0], "of a size");
}

pub fn code_is_refused_by_name() {
    let run = |module: &str, name: &str| call(&global(module, name), &[text("id")]);
    let stacked = [text("os"), text("system"), b"\x93".to_vec(), tuple(&[text("id")])].concat();
    let from_type =
        [global("os", "system"), global("torch", "Tensor"), tuple(&[text("id")]), b"}".to_vec()];
    all_refused([
        ("os.system", with(&run("os", "system")), "needs os.system"),
        ("posix.system", with(&run("posix", "system")), "needs posix.system"),
        ("eval", with(&run("builtins", "eval")), "needs builtins.eval"),
        ("Python 2", with(&run("__builtin__", "eval")), "needs __builtin__.eval"),
        ("getattr", with(&run("builtins", "getattr")), "needs builtins.getattr"),
        ("torch.load", with(&run("torch", "load")), "needs torch.load"),
        (
            "a pickle in a pickle",
            with(&run("torch.storage", "_load_from_bytes")),
            "needs torch.storage._load_from_bytes",
        ),
        ("in a tensor's place", of_tensor(run("os", "system")), "needs os.system"),
        ("by protocol 4", with(&stacked), "needs os.system"),
        ("a name of 10,000 letters", with(&run("os", &"s".repeat(10_000))), "needs os.sss"),
        ("a name of control codes", with(&run("o\x1b[2Js", "x")), "needs o\\u{1b}[2Js.x"),
        (
            "through the class of a tensor",
            with(&call(&global("torch._tensor", "_rebuild_from_type_v2"), &from_type)),
            "needs os.system",
        ),
        ("INST", with(b"(ios\nsystem\n"), "the operation INST"),
        ("OBJ", with(b"(N)o"), "the operation OBJ"),
        ("NEWOBJ", with(&[&global("torch", "Size")[..], b")\x81"].concat()), "operation NEWOBJ"),
        ("EXT1", with(b"\x82\x01"), "the operation EXT"),
        ("PERSID", with(b"Pos\n"), "the operation PERSID"),
        ("an unknown operation", with(b"\xff"), "the operation 0xff"),
        (
            "attributes of a tensor",
            of_tensor([two_values(), b"}b".to_vec()].concat()),
            "attributes",
        ),
        ("a call of a text", with(&call(&text("os.system"), &[])), "calls 'os.system'"),
        ("a whole module", with(&global("__main__", "Net")), "whole module"),
    ]);
}

pub fn sizes_are_checked_against_the_file() {
    let floats = |len: i64| storage("0", "FloatStorage", len);
    let no_fit = "does not fit in its storage of 2 elements";
    all_refused([
        ("2^60 elements", of_tensor(tensor(floats(2), 0, &[1 << 60], &[1])), no_fit),
        ("2^60 equal elements", of_tensor(tensor(floats(2), 0, &[1 << 60], &[0])), "repeats"),
        ("2^120 elements", of_tensor(tensor(floats(2), 0, &[1 << 60; 2], &[0, 0])), no_fit),
        ("an offset past the end", of_tensor(tensor(floats(2), 1, &[2], &[1])), no_fit),
        ("a far offset", of_tensor(tensor(floats(2), i64::MAX, &[2], &[1])), no_fit),
        ("a far stride", of_tensor(tensor(floats(2), 0, &[2], &[i64::MAX])), no_fit),
        ("far strides", of_tensor(tensor(floats(2), 0, &[3, 3], &[i64::MAX; 2])), no_fit),
        ("too few strides", of_tensor(tensor(floats(2), 0, &[2], &[])), no_fit),
        ("a negative size", of_tensor(tensor(floats(2), 0, &[-1], &[1])), "expected a size"),
        ("a negative offset", of_tensor(tensor(floats(2), -1, &[1], &[1])), "expected a size"),
        ("17 axes", of_tensor(tensor(floats(2), 0, &[1; 17], &[1; 17])), "has 17 axes"),
        ("a storage of 2^60", of_tensor(tensor(floats(1 << 60), 0, &[2], &[1])), "8 bytes in the"),
        ("a storage that overflows", of_tensor(tensor(floats(1 << 62), 0, &[2], &[1])), "8 bytes"),
        ("a storage of fewer", of_tensor(tensor(floats(1), 0, &[1], &[1])), "8 bytes in the"),
        (
            "no such storage",
            of_tensor(tensor(storage("1", "FloatStorage", 2), 0, &[2], &[1])),
            "no storage data/1",
        ),
        (
            "a storage outside",
            of_tensor(tensor(storage("../data.pkl", "FloatStorage", 2), 0, &[2], &[1])),
            "no storage data/../data.pkl",
        ),
        ("a text of 4 GB", with(b"X\xff\xff\xff\xff"), "ends in the middle"),
        ("a text of 2^63 bytes", with(b"\x8d\0\0\0\0\0\0\0\x80"), "ends in the middle"),
        ("a number of 2 GB", with(b"\x8b\xff\xff\xff\x7f"), "ends in the middle"),
        ("a frame of 2^63 bytes", with(b"\x95\0\0\0\0\0\0\0\x80"), "an empty stack"),
    ]);
    // Views share a storage, but 100,000 of one of a megabyte would be 100 GB when they load.
    let large = vec![0; 1 << 20];
    let view = tensor(storage("0", "FloatStorage", 1 << 18), 0, &[1 << 18], &[1]);
    let mut value = [&b"}"[..], &text("0"), &view, b"q\0s"].concat();
    (1..200).for_each(|i| value.extend([text(&i.to_string()), b"h\0s".to_vec()].concat()));
    let file = saved(&pickle(&value), &[&large]);
    let message = refused("200 views of a megabyte", file);
    assert!(message.contains("too many share a storage"), "{message}");
}

pub fn nests_and_bombs_end() {
    let repeat = |bytes: &[u8], count: usize| bytes.repeat(count);
    let unclosed = "nests more than 1000";
    // Ten lists of ten times the list before: 10^10 values, if any reader unrolled them.
    let mut doubling = b"]q\0".to_vec();
    (0..10).for_each(|_| doubling.extend([&b"]q\0("[..], &b"h\0".repeat(10), b"e"].concat()));
    let itself = [&b"}q\0"[..], &text("a"), b"h\0s"].concat();
    let deep = [&b"}"[..], &[&text("a")[..], b"}"].concat().repeat(9999), &b"s".repeat(9999)];
    let long = text(&"a".repeat(1 << 16));
    // The same long text as the value of many keys.
    let mut texts = [&b"}"[..], &text("0"), &long, b"q\0s"].concat();
    (1..100).for_each(|i| texts.extend([text(&i.to_string()), b"h\0s".to_vec()].concat()));
    texts.extend([text("w"), two_values(), b"s".to_vec()].concat());
    all_refused([
        ("a million marks", with(&repeat(b"(", 1_000_000)), unclosed),
        ("a deep tuple", with(&[&b"N"[..], &repeat(b"\x85", 500_000)].concat()), "a tuple of 1"),
        ("a million values", with(&repeat(b"N", 1_100_000)), "more than 1048576 values"),
        (
            "a deep stack",
            with(&[&b"Nq\0"[..], &repeat(b"h\0", 1_100_000)].concat()),
            "on its stack",
        ),
        (
            "a full memory",
            with(&[&b"N"[..], &repeat(b"\x94", 1_100_000)].concat()),
            "keeps too many",
        ),
        ("lists in lists", with(&doubling), "a list of 10, expected a state dict"),
        ("a dict in itself", with(&itself), "no dict of tensors; its keys are: a"),
        ("a deep dict", with(&deep.concat()), "no dict of tensors; its keys are: a"),
        ("a far place in memory", with(b"Nr\xff\xff\xff\xff0"), "the operation POP"),
        ("nothing kept", with(b"h\x07"), "did not keep"),
        ("an empty stack", with(b""), "an empty stack"),
        ("below a mark", with(b"N(\x85"), "an empty stack"),
        ("no mark", with(b"Nt"), "ends a group that it did not begin"),
        ("items of a number", with(b"K\x01NNs"), "sets items of 1"),
        ("half a pair", with(b"}(Nu"), "sets items of a dict"),
        ("items of a list", with(b"}Na"), "appends to a dict"),
        ("no end", saved(b"\x80\x02}", &[]), "ends in the middle"),
        ("no pickle", saved(b"", &[]), "ends in the middle"),
        ("a text that is none", with(b"X\x01\0\0\0\xff"), "not UTF-8"),
        ("a long text often", with(&texts), "repeats a long text"),
    ]);
}

pub fn archives_that_lie_are_refused() {
    let good = of_tensor(two_values());
    let central = |file: &[u8]| file.windows(4).position(|w| w == b"PK\x01\x02").expect("a record");
    let changed = |offset: usize, bytes: &[u8]| {
        let mut file = good.clone();
        let at = central(&file) + offset;
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    };
    let (pickle, big) = (pickle(&dict(&[("w", two_values())])), 0xffff_fffe_u32.to_le_bytes());
    all_refused([
        // A zip bomb needs compression.
        (
            "compressed",
            changed(10, &[8, 0]),
            "compressed with DEFLATE, which torch.save never does",
        ),
        ("packed with LZMA", changed(10, &[14, 0]), "compressed with LZMA"),
        ("4 GB of bytes", changed(20, &big), "the zip archive is damaged"),
        ("a place past the end", changed(42, &big), "the zip archive is damaged"),
        (
            "a member twice",
            zip(&[("a/data.pkl", &pickle), ("a/data.pkl", &pickle)]),
            "holds 'a/data.pkl' twice",
        ),
        (
            "two pickles",
            zip(&[("a/data.pkl", &pickle), ("b/data.pkl", &pickle)]),
            "2 files data.pkl",
        ),
        ("no member", zip(&[]), "without the data.pkl"),
        (
            "big endian",
            zip(&[("a/data.pkl", &pickle), ("a/data/0", &VALUES), ("a/byteorder", b"big")]),
            "the byte order 'big'",
        ),
    ]);
}

/// Wherever a download breaks off, or a bit changes.
pub fn a_damaged_archive_is_refused_or_read() {
    let good = of_tensor(two_values());
    for length in 0..good.len() {
        refused(&format!("the first {length} bytes"), good[..length].to_vec());
    }
    let mut read = 0;
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut file = good.clone();
            file[at] ^= 1 << bit;
            let Ok(file) = StateDict::parse("damaged.pt", file) else { continue };
            read += 1;
            for name in file.names() {
                // Any result is fine, but no panic.
                let _ = (file.f32(name), file.tensor(name));
            }
        }
    }
    assert!(read >= 8 * VALUES.len(), "a changed value is still a value: {read} files were read");
}
