"""Makes the golden numbers of the metrics: of pycocotools and the VOC devkit's definition for detection, of NumPy for
segmentation and counting, of SciPy for density maps.

usage: make_metric_golden.py OUT_DIR SEED
needs: torch, pycocotools, safetensors, numpy, scipy
"""
import contextlib, io, json, math, os, sys

import numpy as np
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from safetensors.torch import save_file
from scipy.ndimage import gaussian_filter
from scipy.spatial import KDTree

out, seed = sys.argv[1], int(sys.argv[2])
DETECTION, SEGMENTATION, COUNTING = (f"{out}/{crate}" for crate in ("detection", "segmentation", "crowd-counting"))
for folder in (DETECTION, SEGMENTATION, COUNTING):
    os.makedirs(folder, exist_ok=True)
np_rng = np.random.default_rng(seed)

# -------------------------------------------------------- detection: COCO metrics
def coco_case(name, images, categories, density, crowd, empty_cat):
    r = np_rng
    gts, dts, aid = [], [], 1
    imgs = [dict(id=i + 1, width=640, height=480, file_name=f"{i+1:06}.jpg") for i in range(images)]
    for im in imgs:
        for _ in range(r.poisson(density)):
            s = float(np.exp(r.uniform(math.log(8), math.log(300))))
            w, h = s * r.uniform(.6, 1.6), s * r.uniform(.6, 1.6)
            w, h = min(w, 600), min(h, 440)
            x, y = r.uniform(0, 640 - w), r.uniform(0, 480 - h)
            c = int(r.integers(1, categories + (0 if empty_cat else 1)))
            iscrowd = int(r.random() < crowd)
            box = [round(v, 2) for v in (x, y, w, h)]
            gts.append(dict(id=aid, image_id=im["id"], category_id=c, bbox=box, area=round(box[2] * box[3], 4), iscrowd=iscrowd)); aid += 1
            for _ in range(r.integers(0, 3)):
                j = r.normal(0, .12 * s, 4)
                dts.append(dict(image_id=im["id"], category_id=c if r.random() < .85 else int(r.integers(1, categories + 1)),
                                bbox=[round(float(v), 2) for v in (x + j[0], y + j[1], max(2, w + j[2]), max(2, h + j[3]))], score=round(float(r.beta(4, 2)), 3)))
        for _ in range(r.poisson(density / 2)):
            dts.append(dict(image_id=im["id"], category_id=int(r.integers(1, categories + 1)),
                            bbox=[round(float(v), 2) for v in (r.uniform(0, 500), r.uniform(0, 400), r.uniform(4, 140), r.uniform(4, 80))], score=round(float(r.beta(2, 4)), 3)))
    ds = dict(images=imgs, annotations=gts, categories=[dict(id=c, name=f"class-{c}") for c in range(1, categories + 1)])
    json.dump(ds, open(f"{DETECTION}/{name}.annotations.json", "w")); json.dump(dts, open(f"{DETECTION}/{name}.results.json", "w"))
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO(f"{DETECTION}/{name}.annotations.json"); ev = COCOeval(gt, gt.loadRes(f"{DETECTION}/{name}.results.json"), "bbox")
        ev.evaluate(); ev.accumulate(); ev.summarize()
    names = ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"]
    prec = ev.eval["precision"][:, :, :, 0, 2]
    per = {c: (float(p[p > -1].mean()) if (p > -1).any() else -1.0) for c, p in ((ev.params.catIds[i], prec[:, :, i]) for i in range(categories))}
    json.dump(dict(stats={k: float(v) for k, v in zip(names, ev.stats)}, ap_per_category={str(k): v for k, v in per.items()}), open(f"{DETECTION}/{name}.coco_eval.json", "w"), indent=1)


coco_case("coco_small", 12, 4, 3, 0.0, False)
coco_case("coco_crowd", 40, 6, 6, 0.1, True)
coco_case("coco_dense", 25, 3, 40, 0.02, False)


# VOC AP (all-point and 11-point) on the small case, from the devkit's definition
def voc_ap(gts, dts, cat, thr=0.5):
    npos, by = 0, {}
    for g in gts:
        if g["category_id"] == cat:
            by.setdefault(g["image_id"], []).append([g["bbox"], False]); npos += 1
    d = sorted([x for x in dts if x["category_id"] == cat], key=lambda x: -x["score"])
    tp, fp = [], []
    for x in d:
        best, bj = -1, None
        bx, by_, bw, bh = x["bbox"]
        for j in by.get(x["image_id"], []):
            gx, gy, gw, gh = j[0]
            iw = min(bx + bw, gx + gw) - max(bx, gx); ih = min(by_ + bh, gy + gh) - max(by_, gy)
            iou = iw * ih / (bw * bh + gw * gh - iw * ih) if iw > 0 and ih > 0 else 0.0
            if iou > best: best, bj = iou, j
        if best >= thr and not bj[1]: bj[1] = True; tp.append(1); fp.append(0)
        else: tp.append(0); fp.append(1)
    if npos == 0: return None
    tp, fp = np.cumsum(tp), np.cumsum(fp)
    rec, pre = tp / npos, tp / np.maximum(tp + fp, 1e-12)
    a11 = float(np.mean([pre[rec >= t].max() if (rec >= t).any() else 0.0 for t in np.arange(0, 1.1, .1)]))
    mr, mp = np.r_[0, rec, 1], np.r_[0, pre, 0]
    for i in range(len(mp) - 1, 0, -1): mp[i - 1] = max(mp[i - 1], mp[i])
    i = np.where(mr[1:] != mr[:-1])[0]
    return dict(ap_all_points=float(((mr[i + 1] - mr[i]) * mp[i + 1]).sum()), ap_11_points=a11, positives=npos)


a, d = json.load(open(f"{DETECTION}/coco_small.annotations.json")), json.load(open(f"{DETECTION}/coco_small.results.json"))
json.dump({str(c): voc_ap(a["annotations"], d, c) for c in range(1, 5)}, open(f"{DETECTION}/coco_small.voc_eval.json", "w"), indent=1)

# -------------------------------------------------------- segmentation and counting metrics
r = np_rng
K, IGN = 7, 255
gt = r.integers(0, K - 1, (5, 40, 56)); gt[r.random(gt.shape) < .06] = IGN            # class K-1 never occurs in the labels
pr = np.where(r.random(gt.shape) < .7, np.where(gt == IGN, 0, gt), r.integers(0, K, gt.shape))
m = gt != IGN
cm = np.bincount(K * gt[m] + pr[m], minlength=K * K).reshape(K, K)
inter, gt_n, pr_n = np.diag(cm), cm.sum(1), cm.sum(0)
union = gt_n + pr_n - inter
iou = inter / np.maximum(union, 1)
stats = dict(classes=K, ignore_index=IGN, pixel_accuracy=float(inter.sum() / cm.sum()), iou_per_class=[float(v) if u else None for v, u in zip(iou, union)],
             mean_iou_over_classes_with_union=float(iou[union > 0].mean()), mean_accuracy_over_labelled_classes=float((inter[gt_n > 0] / gt_n[gt_n > 0]).mean()),
             frequency_weighted_iou=float((gt_n / gt_n.sum() * iou).sum()), confusion=cm.tolist())
save_file({"labels": torch.from_numpy(gt.astype(np.uint8)), "predictions": torch.from_numpy(pr.astype(np.uint8))}, f"{SEGMENTATION}/segmentation.safetensors", metadata={"metrics": json.dumps(stats)})

H, W, N = 96, 128, 60
pts = np.c_[r.uniform(0, W, N), r.uniform(0, H, N)]                                      # x, y in pixels
fixed = np.zeros((H, W)); 
for x_, y_ in pts: fixed[int(y_), int(x_)] += 1
fixed = gaussian_filter(fixed, 4.0, mode="constant")
dist = KDTree(pts).query(pts, k=4)[0]
adaptive = np.zeros((H, W))
for (x_, y_), dd in zip(pts, dist):
    one = np.zeros((H, W)); one[int(y_), int(x_)] = 1
    adaptive += gaussian_filter(one, 0.1 * (dd[1] + dd[2] + dd[3]), mode="constant")
est = np.maximum(fixed + r.normal(0, .004, fixed.shape), 0)


def game(gt, es, level):
    n, t = 2 ** level, 0.0
    h, w = gt.shape
    for i in range(n):
        for j in range(n):
            s = np.s_[i * h // n:(i + 1) * h // n, j * w // n:(j + 1) * w // n]
            t += abs(gt[s].sum() - es[s].sum())
    return t


counts = r.uniform(5, 400, 30); ests = counts * r.normal(1, .15, 30)
stats = dict(mae=float(np.abs(counts - ests).mean()), rmse=float(np.sqrt(((counts - ests) ** 2).mean())), nae=float((np.abs(counts - ests) / counts).mean()),
             game={str(l): float(game(fixed, est, l)) for l in range(4)}, fixed_sigma=4.0, adaptive="sigma = 0.1 * sum of the distances to the 3 nearest neighbours (MCNN: beta 0.3 times their mean)",
             kernel="scipy.ndimage.gaussian_filter, mode constant, truncate 4.0: mass near the border is lost")
save_file({"points_xy": torch.from_numpy(pts), "density_fixed": torch.from_numpy(fixed), "density_adaptive": torch.from_numpy(adaptive), "estimate": torch.from_numpy(est),
           "true_counts": torch.from_numpy(counts), "estimated_counts": torch.from_numpy(ests)}, f"{COUNTING}/counting.safetensors", metadata={"metrics": json.dumps(stats)})
