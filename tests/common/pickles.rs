//! Files of `torch.save` made by hand: zip archives without compression, and pickles.
#![allow(dead_code, reason = "no program needs all of it")]

/// A zip archive that stores each member as it is.
pub fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in members {
        let (at, size) = ((file.len() as u32).to_le_bytes(), (data.len() as u32).to_le_bytes());
        // The version that unpacks it, flags, method, time and date; then a checksum of 0.
        let shared = [&[20, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &[0; 4], &size, &size];
        let shared = [&shared.concat(), &(name.len() as u16).to_le_bytes()[..], &[0; 2]].concat();
        file.extend([b"PK\x03\x04", &shared[..], name.as_bytes(), data].concat());
        let made_by = [20, 0];
        directory.extend([b"PK\x01\x02", &made_by[..], &shared, &[0; 10], &at].concat());
        directory.extend(name.as_bytes());
    }
    let count = (members.len() as u16).to_le_bytes();
    let (at, size) = ((file.len() as u32).to_le_bytes(), (directory.len() as u32).to_le_bytes());
    file.extend(&directory);
    file.extend([b"PK\x05\x06", &[0; 4][..], &count, &count, &size, &at, &[0; 2]].concat());
    file
}

/// A file of `torch.save`: a pickle, and storages of the names 0, 1, ..
pub fn saved(pickle: &[u8], storages: &[&[u8]]) -> Vec<u8> {
    let names: Vec<String> = (0..storages.len()).map(|i| format!("archive/data/{i}")).collect();
    let storages = names.iter().map(String::as_str).zip(storages.iter().copied());
    let members: Vec<_> = [("archive/data.pkl", pickle)].into_iter().chain(storages).collect();
    zip(&members)
}

/// A pickle of this value.
pub fn pickle(value: &[u8]) -> Vec<u8> {
    [b"\x80\x02", value, b"."].concat()
}

pub fn text(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

pub fn int(value: i64) -> Vec<u8> {
    [b"\x8a\x08", &value.to_le_bytes()[..]].concat()
}

pub fn tuple(items: &[Vec<u8>]) -> Vec<u8> {
    [b"(", &items.concat()[..], b"t"].concat()
}

pub fn dict(pairs: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let pairs: Vec<u8> =
        pairs.iter().flat_map(|(key, v)| [text(key), v.clone()].concat()).collect();
    [b"}(", &pairs[..], b"u"].concat()
}

/// A class or function by its name.
pub fn global(module: &str, name: &str) -> Vec<u8> {
    format!("c{module}\n{name}\n").into_bytes()
}

/// A call of a function with these arguments.
pub fn call(function: &[u8], arguments: &[Vec<u8>]) -> Vec<u8> {
    [function, &tuple(arguments), b"R"].concat()
}

/// The storage of a name, with a class such as `FloatStorage` and a number of elements.
pub fn storage(name: &str, class: &str, len: i64) -> Vec<u8> {
    let class = global("torch", class);
    let id = tuple(&[text("storage"), class, text(name), text("cpu"), int(len)]);
    [id, b"Q".to_vec()].concat()
}

/// A tensor as PyTorch 2 writes it.
pub fn tensor(storage: Vec<u8>, offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    let sizes = |sizes: &[i64]| tuple(&sizes.iter().map(|&size| int(size)).collect::<Vec<_>>());
    let hooks = call(&global("collections", "OrderedDict"), &[]);
    let arguments = [storage, int(offset), sizes(shape), sizes(strides), b"\x89".to_vec(), hooks];
    call(&global("torch._utils", "_rebuild_tensor_v2"), &arguments)
}

/// A tensor of two values of F32 in storage 0.
pub fn two_values() -> Vec<u8> {
    tensor(storage("0", "FloatStorage", 2), 0, &[2], &[1])
}
